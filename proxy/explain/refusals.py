"""Every reason in full, for `dicomgate explain REASON` and docs/refusals.md."""

from dataclasses import asdict, dataclass
from typing import Any

from proxy.explain.manual.connection import CONNECTION
from proxy.explain.manual.entry import ManualEntry
from proxy.explain.manual.request import REQUEST
from proxy.explain.manual.tls import TLS
from proxy.explain.manual.upstream import UPSTREAM
from proxy.observe.answers import describe_answer
from proxy.policy import Abort, Alert, Answer, Close, Reason, Reject, Status

MANUAL: dict[Reason, ManualEntry] = {**CONNECTION, **TLS, **REQUEST, **UPSTREAM}


@dataclass(frozen=True, slots=True)
class DescribedReason:
    """A reason in full. `observable`: the tenant's `observe_until` lets a request with this reason pass."""

    reason: Reason
    meaning: str
    answer: str
    sender: str
    check: str
    change: str
    observable: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the value for `--format json`."""
        return asdict(self)


def describe_reason(reason: Reason) -> DescribedReason:
    """Return one reason in full."""
    entry = MANUAL[reason]
    return DescribedReason(
        reason=reason,
        meaning=entry.meaning,
        answer=describe_answer(reason.answer),
        sender=entry.sender or _on_the_sender(reason.answer),
        check=entry.check,
        change=entry.change,
        observable=reason.observable,
    )


def _on_the_sender(answer: Answer) -> str:
    """Return the words or the effect that most senders show for an answer."""
    match answer:
        case Close():
            return "A network error or a timeout: the connection is closed without a message."
        case Alert():
            return "A failed TLS handshake; many devices show only a network error."
        case Reject(result=2):
            return "A rejected association with the words in parentheses. Most senders try again by themselves."
        case Reject():
            return "A rejected association, in most cases with the words in parentheses."
        case Abort():
            return "An aborted association, in most cases without a cause."
        case Status():
            return "A failed operation with this status; the association stays open."
        case _:
            return "The PACS's own answer."
