"""The description of one metric: name, type, help text, labels, and its rules for merging and for the start."""

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

    `highest`: merge a gauge over processes by its highest value; otherwise values are summed.
    `at_start`: create the series with zeros at start. False if there are many combinations of labels, or if only one
    process knows the value.
    `reasons`: the values of the label `reason` to create at start. Any other is created when it first occurs.
    """

    name: str  # without PREFIX; counters with `_total`
    kind: Kind
    help: str  # one sentence
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # upper bounds, in the unit of the name
    highest: bool = False
    at_start: bool = True
    reasons: tuple[Reason, ...] = ()
