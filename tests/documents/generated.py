"""The pages that are made from the code."""

from collections.abc import Callable, Mapping

from tests.documents.codes import codes
from tests.documents.configuration import configuration
from tests.documents.events import events
from tests.documents.metrics import metrics
from tests.documents.reasons import reasons
from tests.documents.record import record
from tests.documents.refusals import refusals

#: The path of each page, and what makes its text.
PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/codes.md": codes,
    "docs/reference/configuration.md": configuration,
    "docs/reference/events.md": events,
    "docs/reference/metrics.md": metrics,
    "docs/reference/reasons.md": reasons,
    "docs/reference/record.md": record,
    "docs/refusals.md": refusals,
}
