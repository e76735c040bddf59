"""docs/reference/metrics.md, from `proxy/observe/families.py`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from proxy.observe.families import FAMILIES, PREFIX
from proxy.observe.family import Family, Kind
from proxy.observe.labels import Labels
from tests.documents.markdown import code, page, table
from tests.support import configs

#: Labels whose values are too many to list, or are the site's own.
_IN_WORDS = {
    "reason": "a reason of [refusals.md](../refusals.md)",
    "rule": "configured name of the peer that decided, or the reason of a refusal",
    "cipher": "OpenSSL's name of the cipher suite",
    "listener": "configured name of the listener",
    "tenant": "configured name of the tenant, or `none` before one is known",
    "upstream": "configured name of the upstream",
    "server": "`host:port` of the server, as configured",
    "issuer": "configured name of the CA",
    "use": "`server`, `client` or `ca`: what the certificate is for",
    "name": "file or configured name of the certificate",
    "serial": "serial number of the certificate, hexadecimal",
    "version": "version of the gateway (`build_info`) or of TLS",
    "python": "version of Python",
    "openssl": "version of OpenSSL",
    "uvloop": "version of uvloop",
    "label": "name of the label whose value was unknown",
}


def metrics() -> str:
    """The page."""
    with TemporaryDirectory() as folder:
        config = configs.load_text(Path(folder), configs.PLAIN).config
    assert config is not None
    labels = Labels(config)
    return page(
        "Metrics",
        "proxy/observe/families.py",
        "The admin address serves them at `/metrics`, in the text format of Prometheus. The values of all workers are",
        "added up, also of those that have ended. A label value comes from the configuration or from a closed set,",
        "never from a peer; any other value is exported as `other` and counted in `dicomgate_label_overflow_total`.",
        "",
        *table(["Metric", "Type", "Labels", "Meaning"], map(_row, FAMILIES)),
        "",
        "## Labels",
        "",
        *table(["Label", "Values"], ((f"`{name}`", _values(name, labels)) for name in _names())),
        "",
        "## Buckets",
        "",
        "Upper bounds of the histograms, in the unit of the metric's name.",
        "",
        *table(
            ["Metric", "Buckets"],
            ((f"`{PREFIX}{one.name}`", ", ".join(map(_number, one.buckets))) for one in _histograms()),
        ),
    )


def _number(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else f"{bound:g}"


def _row(family: Family) -> tuple[str, str, str, str]:
    return f"`{PREFIX}{family.name}`", str(family.kind), code(family.labels), family.help


def _histograms() -> Iterable[Family]:
    return (family for family in FAMILIES if family.kind is Kind.HISTOGRAM)


def _names() -> list[str]:
    """The labels, in the order of their first use."""
    return list(dict.fromkeys(label for family in FAMILIES for label in family.labels))


def _values(name: str, labels: Labels) -> str:
    if name in _IN_WORDS:
        return _IN_WORDS[name]
    if name in labels.values:
        return code(labels.values[name])
    return "; ".join(f"{code(values)} (`{PREFIX}{family}`)" for family, values in _of_families(name, labels))


def _of_families(name: str, labels: Labels) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A label that has another closed set in each family."""
    for family in FAMILIES:
        if name in family.labels:
            yield family.name, labels.possible(family.name, name)
