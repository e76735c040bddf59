"""The access record: one line per association, when it ends or is refused (docs/reference/record.md).

`access_record.schema.json` is its public form. What is not known is left out, never null. There is no field for a
passcode, a token or patient data. Text that a peer chose is cut to a fixed length here and escaped by the event log.
"""

import ipaddress
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from proxy.observe.answers import describe_answer
from proxy.pdu.model import PresentationContext, PresentationContextResult
from proxy.policy import Answer, Certificate, Ended, Reason, Reject, Step

SCHEMA_VERSION = 1
EVENT = "association"

#: The longest text of a peer's choice that is recorded: a certificate subject may be of any length.
MAX_TEXT = 512
#: The most names of one certificate that are recorded.
MAX_NAMES = 32
#: The most refused presentation contexts that are listed: PS3.8 has odd ids from 1 to 255.
MAX_CONTEXTS = 128
#: The most transfer syntaxes that are listed of one proposed context.
MAX_TRANSFER_SYNTAXES = 8

Json = str | int | float | bool | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class RefusedContext:
    """A presentation context that was not accepted. `result`: of the A-ASSOCIATE-AC (PS3.8 Table 9-18)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    by: str  # gateway | upstream
    result: int | None = None


@dataclass(slots=True)
class OperationCount:
    """DIMSE requests of one kind, whoever sent them, and what became of them."""

    requests: int = 0
    ok: int = 0
    warnings: int = 0
    failures: int = 0
    refused: int = 0  # by the gateway
    seconds: float = 0.0  # from requests to their final responses, all together


@dataclass(slots=True)
class InstanceCount:
    """C-STORE requests that were answered, whoever sent them; `bytes` of their data sets."""

    number: int = 0
    bytes: int = 0


@dataclass(slots=True)
class AccessRecord:
    """All that is known of one association; filled in as it goes. Times in seconds (`ts_start` since the epoch).

    `bytes_in` and `pdus_in` come from the requestor, `bytes_out` and `pdus_out` go to it.
    """

    id: str
    ts_start: float
    listener: str
    tenant: str | None = None
    peer: str | None = None
    decision: str = "failed"  # accepted | refused | failed
    rule: str | None = None  # the peer entry or the reason that decided
    reason: Reason | None = None
    detail: str | None = None
    answer: Answer | None = None  # what the requestor was told, the upstream's own A-ASSOCIATE-RJ included
    would_refuse: tuple[Reason, ...] = ()
    client_ip: ipaddress.IPv4Address | ipaddress.IPv6Address | str | None = None
    client_port: int | None = None
    client_via: str = "socket"  # socket | proxy_header
    client_proxy: ipaddress.IPv4Address | ipaddress.IPv6Address | str | None = None  # who sent the PROXY header
    sni: str | None = None
    tls_version: str | None = None
    tls_cipher: str | None = None
    certificate: Certificate | None = None
    certificate_ca: tuple[str, ...] = ()  # configured names of the CA
    calling_aet: str | None = None  # as sent
    called_aet: str | None = None
    forwarded_calling_aet: str | None = None  # as the upstream got it
    forwarded_called_aet: str | None = None
    implementation_class_uid: str | None = None
    implementation_version_name: str | None = None
    max_pdu: int | None = None
    user_type: int | None = None  # PS3.7 Table D.3-14
    user_name: str | None = None  # verified
    contexts_proposed: int | None = None
    contexts_kept: int = 0  # forwarded
    contexts_accepted: int = 0  # by the upstream
    contexts_refused: Sequence[RefusedContext] = ()
    upstream: str | None = None
    server: str | None = None
    upstream_tls: tuple[str, str] | None = None  # version and cipher
    bytes_in: int = 0
    bytes_out: int = 0
    pdus_in: int = 0
    pdus_out: int = 0
    dimse: dict[str, OperationCount] = field(default_factory=dict)  # by service: C-STORE
    instances: dict[str, InstanceCount] = field(default_factory=dict)  # by group of SOP classes
    refused_operations: tuple[str, ...] = ()  # what the gateway refused, in words
    observed_operations: tuple[str, ...] = ()  # what it would have refused, were the tenant not only observed
    ended: Ended = Ended.REFUSED
    duration_s: float = 0.0
    upstream_setup_s: float | None = None
    trace: Sequence[Step] = field(default=())  # at log level debug

    def to_dict(self, now: float) -> dict[str, Json]:
        """The record for the log, written at `now` (seconds since the epoch): JSON-able, without what is unknown."""
        answer = self.answer
        return _known(
            {
                "ts": rfc3339(now),
                "level": "info",
                "event": EVENT,
                "schema": SCHEMA_VERSION,
                "id": self.id,
                "ts_start": rfc3339(self.ts_start),
                "duration_s": round(self.duration_s, 6),
                "listener": self.listener,
                "tenant": self.tenant,
                "peer": self.peer,
                "decision": self.decision,
                "ended": str(self.ended),
                "rule": self.rule,
                "reason": None if self.reason is None else str(self.reason),
                "detail": self.detail,
                "answer": None if answer is None else describe_answer(answer),
                "rj": {"result": answer.result, "source": answer.source, "reason": answer.reason}
                if isinstance(answer, Reject)
                else None,
                "would_refuse": [str(reason) for reason in self.would_refuse],
                "client": _known(
                    {
                        "ip": None if self.client_ip is None else str(self.client_ip),
                        "port": self.client_port,
                        "via": self.client_via,
                        "proxy": None if self.client_proxy is None else str(self.client_proxy),
                    }
                ),
                "sni": self.sni,
                "tls": self._tls(),
                "calling_aet": self.calling_aet,
                "called_aet": self.called_aet,
                "forwarded": _known(
                    {"calling_aet": self.forwarded_calling_aet, "called_aet": self.forwarded_called_aet}
                ),
                "implementation": _known(
                    {"class_uid": self.implementation_class_uid, "version_name": self.implementation_version_name}
                ),
                "max_pdu": self.max_pdu,
                "user": _known({"type": self.user_type, "name": self.user_name}),
                "contexts": self.contexts(),
                "upstream": self.upstream,
                "server": self.server,
                "upstream_tls": None
                if self.upstream_tls is None
                else {"version": self.upstream_tls[0], "cipher": self.upstream_tls[1]},
                "upstream_setup_s": None if self.upstream_setup_s is None else round(self.upstream_setup_s, 6),
                "bytes_in": self.bytes_in,
                "bytes_out": self.bytes_out,
                "pdus_in": self.pdus_in,
                "pdus_out": self.pdus_out,
                "dimse": {
                    name: _known(
                        {
                            "n": n.requests,
                            "ok": n.ok,
                            "warn": n.warnings,
                            "fail": n.failures,
                            "refused": n.refused,
                            "seconds": round(n.seconds, 6) or None,
                        }
                    )
                    for name, n in self.dimse.items()
                },
                "instances": {group: {"n": n.number, "bytes": n.bytes} for group, n in self.instances.items()},
                "refused_operations": list(self.refused_operations),
                "observed_operations": list(self.observed_operations),
                "trace": [
                    _known({"rule": s.rule, "outcome": str(s.outcome), "detail": s.detail, "where": s.where or None})
                    for s in self.trace
                ],
            }
        )

    def _tls(self) -> dict[str, Json]:
        certificate = self.certificate
        names: list[Json] = []
        if certificate is not None:
            names.extend((*certificate.san_dns, *certificate.san_uri)[:MAX_NAMES])
        return _known(
            {
                "version": self.tls_version,
                "cipher": self.tls_cipher,
                "client_cert": None
                if certificate is None
                else _known(
                    {
                        "sha256": certificate.sha256,
                        "spki_sha256": certificate.spki_sha256,
                        "subject": certificate.subject or None,
                        "names": names,
                        "ca": list(self.certificate_ca),
                        "serial": certificate.serial or None,
                        "not_after": rfc3339(certificate.not_after),
                    }
                ),
            }
        )

    def contexts(self) -> dict[str, Json]:
        """How many presentation contexts were proposed, kept and accepted, and which were refused and by whom."""
        if self.contexts_proposed is None:
            return {}
        refused: list[Json] = [
            _known(
                {
                    "id": context.context_id,
                    "abstract_syntax": context.abstract_syntax,
                    "transfer_syntaxes": list(context.transfer_syntaxes[:MAX_TRANSFER_SYNTAXES]),
                    "by": context.by,
                    "result": context.result,
                }
            )
            for context in self.contexts_refused[:MAX_CONTEXTS]
        ]
        return {
            "proposed": self.contexts_proposed,
            "kept": self.contexts_kept,
            "accepted": self.contexts_accepted,
            "refused": refused,
        }


def refused_contexts(
    proposed: Iterable[PresentationContext],
    kept: frozenset[int] | None,
    results: Iterable[PresentationContextResult],
) -> tuple[RefusedContext, ...]:
    """The contexts that were not accepted, and by whom. Those that were are only counted: 120 of them are usual."""
    answers = {result.context_id: result.result for result in results}
    refused = []
    for context in proposed:
        what = (context.context_id, context.abstract_syntax, context.transfer_syntaxes)
        result = answers.get(context.context_id)
        if kept is not None and context.context_id not in kept:
            refused.append(RefusedContext(*what, by="gateway"))
        elif result != 0:
            refused.append(RefusedContext(*what, by="upstream", result=result))
    return tuple(refused)


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as UTC, RFC 3339 with milliseconds. Outside the years 1 to 9999: the nearest."""
    try:
        second = math.floor(seconds)
        milliseconds = min(999, int((seconds - second) * 1000))  # a tiny negative time is rounded up to a whole second
        return f"{_second_in_words(second)}.{milliseconds:03}Z"
    except (ValueError, OverflowError, OSError):
        return "9999-12-31T23:59:59.999Z" if seconds > 0 else "0001-01-01T00:00:00.000Z"


@lru_cache(maxsize=64)  # many lines are written in one second
def _second_in_words(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat(timespec="seconds")


def _known(fields: dict[str, Json | None]) -> dict[str, Json]:
    """Without what is None or empty; text is cut to MAX_TEXT."""
    known: dict[str, Json] = {}
    for key, value in fields.items():
        if value:
            # Nearly all is a number or a short text: a call for each of them would cost as much as the rest.
            plain = type(value) is int or (type(value) is str and len(value) <= MAX_TEXT)
            known[key] = value if plain else _bounded(value)
        elif value == 0:  # a count, not what is missing
            known[key] = value
    return known


def _bounded(value: Json) -> Json:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "..."
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    return value
