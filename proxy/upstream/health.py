"""The verdict on a server by its health checks. Pure: nothing here waits or connects."""

from collections import deque

from proxy.config.values import HealthCheck
from proxy.upstream.verification import Outcome, Verification


class Health:
    """The checks of one server so far. Times are seconds of any one clock.

    The first check decides alone. Then `rise` successes or `fall` failures in a row change the verdict.
    """

    def __init__(self, check: HealthCheck) -> None:
        self.last: Verification | None = None
        self._fall = check.fall
        self._passed: deque[float] = deque(maxlen=check.rise)  # the start of each of the latest successes in a row
        self._failed = 0  # in a row
        self._was_down = False

    def learn(self, result: Verification, began: float, *, down: bool) -> bool:
        """Return whether the server is down after a check that began at `began`. `down`: whether it was before."""
        first, self.last = self.last is None, result
        if self._was_down and not down:
            self._failed = 0  # an association that the server accepted has lifted the verdict since
        if result.outcome is Outcome.OK or result.refused:
            self._passed.append(began)
            self._failed = 0
            self._was_down = down and not first and self.good_since is None
        else:
            self._passed.clear()
            self._failed += 1
            self._was_down = down or first or self._failed >= self._fall
        return self._was_down

    @property
    def good_since(self) -> float | None:
        """The start of the first of the latest `rise` checks if all of them succeeded, else None."""
        return self._passed[0] if len(self._passed) == self._passed.maxlen else None
