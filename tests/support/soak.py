"""The length of long tests: a part in `make test`, the whole with DICOMGATE_SOAK=1 (`make soak`)."""

import os
from typing import TypeVar

Number = TypeVar("Number", int, float)
SOAK = os.environ.get("DICOMGATE_SOAK") == "1"


def scaled(quick: Number, whole: Number) -> Number:
    """`whole` in a soak, else `quick`."""
    return whole if SOAK else quick
