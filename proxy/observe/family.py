"""The description of one metric: its name, type, help text, labels, and how it behaves over workers and at start."""

import enum
from dataclasses import dataclass

from proxy.policy import Reason


class Kind(enum.StrEnum):
    """The Prometheus types in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric and its behaviour.

    `highest`: workers are merged by the highest value of a gauge; otherwise their values are summed.
    `at_start`: the series are created with zeros at start. False where the combinations of labels are many, or where
    only one process knows the value. `reasons` limits the series created at start; any other Reason is created when it
    first occurs.
    """

    name: str  # without PREFIX; counters with `_total`
    kind: Kind
    help: str  # one sentence
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # upper bounds, in the unit of the name
    highest: bool = False
    at_start: bool = True
    reasons: tuple[Reason, ...] = ()
