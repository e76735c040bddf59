"""docs/refusals.md, from the manual of refusals in `proxy/explain/manual`."""

from collections.abc import Iterator

from proxy.explain.manual.connection import CONNECTION
from proxy.explain.manual.request import REQUEST
from proxy.explain.manual.tls import TLS
from proxy.explain.manual.upstream import UPSTREAM
from proxy.explain.refusals import DescribedReason, describe_reason
from proxy.policy import Reason
from tests.documents.reasons import row_links, rule, test_links
from tests.documents.rules import rows_of

_CHAPTERS = {
    "Connection": CONNECTION,
    "TLS": TLS,
    "Request and decision": REQUEST,
    "PACS and open association": UPSTREAM,
}
#: Where the user documents tell more of a reason.
_MORE = {Reason.UPSTREAM_LOOP: "[Loops](upstreams.md#loops): how a loop is found."}
_HEAD = """\
# Refusals: what each reason means, and what to do

The access record (`reason`), the metrics, the log and `dicomgate explain` use the same word. Find the word here, or run
`dicomgate explain REASON`, which prints the same text.

- *On the wire* is the gateway's answer. With `uniform_rejects`, permanent rejections by policy are 1/1/1 on the wire;
  the record keeps the true reason.
- *The sender sees* this, in most cases.
- An *observable* reason lets the request pass while the tenant's `observe_until` lasts, and is counted as
  `would_refuse`.
- *In the code* and *Tests* lead developers to the rule and to its tests. One table of both for all reasons:
  [reference/reasons.md](reference/reasons.md).

## From the answer to the reason

| On the wire | Reasons |
|---|---|"""


def refusals() -> str:
    """The page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    answers = dict[str, list[str]]()
    for reason in Reason:
        answers.setdefault(describe_reason(reason).answer, []).append(f"[`{reason}`](#{reason})")
    for answer, reasons in answers.items():
        yield f"| {answer} | {', '.join(reasons)} |"
    yield ""
    for title, chapter in _CHAPTERS.items():
        yield f"## {title}\n"
        for reason in chapter:
            yield from _entry(describe_reason(reason))


def _entry(described: DescribedReason) -> Iterator[str]:
    yield f"### {described.reason}\n"
    yield f"{described.meaning}{' *Observable.*' if described.observable else ''}\n"
    yield f"- On the wire: {described.answer}"
    yield f"- The sender sees: {described.sender}"
    yield f"- Check first: {described.check}"
    yield f"- To change: {described.change}"
    if described.reason in _MORE:
        yield f"- More: {_MORE[described.reason]}"
    yield from _for_developers(described.reason)


def _for_developers(reason: Reason) -> Iterator[str]:
    """The rule and the tests of a reason: from here a developer is one step from either."""
    where = rule(reason, "..")
    numbers, files = row_links(reason, "..", functions=True), test_links(reason, "..")
    if numbers:
        several = len({row.number for row, _, _ in rows_of(reason)}) > 1
        numbers = f"[robustness.md](robustness.md), {'rows' if several else 'row'} {numbers}"
    yield f"- In the code: {where}"
    if tested := "; ".join(filter(None, (numbers, files))):
        yield f"- Tests: {tested}"
    yield ""
