"""The end of an association: one value for the relay, the access record and the metrics."""

import enum
from dataclasses import dataclass

from proxy.policy import Ended, Reason


class Side(enum.Enum):
    """One of the two peers of an association, with the names of the ends that it can cause.

    `word` names the side in a detail, `label` in metrics (docs/reference/metrics.md). `aborted`, `lost` and
    `tls_failed` are the outcome of an A-ABORT, of a connection lost and of a failure of TLS on that side.
    """

    REQUESTOR = ("requestor", "client", Ended.ABORTED_BY_REQUESTOR, Ended.REQUESTOR_LOST, Reason.TLS_FAILED)
    UPSTREAM = ("upstream", "upstream", Ended.ABORTED_BY_UPSTREAM, Ended.UPSTREAM_LOST, Reason.UPSTREAM_TLS_FAILED)

    def __init__(self, word: str, label: str, aborted: Ended, lost: Ended, tls_failed: Reason) -> None:
        self.word = word
        self.label = label
        self.aborted = aborted
        self.lost = lost
        self.tls_failed = tls_failed


@dataclass(frozen=True, slots=True)
class AssociationEnd:
    """The end of an association and its cause. `side` is the peer that caused the end; None if neither peer did.

    `detail` may contain text that a peer sent: escape it on output.
    """

    ended: Ended
    reason: Reason | None = None
    detail: str = ""
    side: Side | None = None

    def describe(self) -> str:
        """Return the detail for the access record: the side that caused the end, then the cause."""
        return f"{self.side.word}: {self.detail}" if self.side is not None and self.detail else self.detail
