"""Limits on logging refusals: one event per refused peer, not one per attempt (invariant 8, docs/architecture.md).

A token bucket for each sender and reason admits a few events and counts the others, and a summary reports their number.
A second bucket for each address bounds the log of a sender that invents AE titles.

Pure: the caller passes the time, in monotonic seconds. Memory is bounded: when there are too many buckets, the least
recently used one is dropped, and its count goes into one sum for all dropped buckets.
"""

from collections import OrderedDict
from dataclasses import dataclass

#: Address, calling AE title, reason. Title and reason are None for all refusals of an address together.
Key = tuple[str, str | None, str | None]
#: Key of the sum of all buckets that were dropped before their summary.
FORGOTTEN: Key = ("*", None, None)

MAX_KEYS = 4096
#: Seconds from the first suppressed event of a bucket to its summary.
SUMMARY_S = 10.0


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` events at once, then one every `interval` seconds."""

    burst: float
    interval: float


PER_KEY = Rate(5, 10.0)
PER_ADDRESS = Rate(50, 1.0)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    updated: float
    suppressed: int = 0
    since: float = 0.0

    def refill(self, rate: Rate, now: float) -> None:
        self.tokens = min(rate.burst, self.tokens + max(0.0, now - self.updated) / rate.interval)
        self.updated = now

    def suppress(self, now: float) -> None:
        if self.suppressed == 0:
            self.since = now
        self.suppressed += 1


class RefusalLimiter:
    """Admits refusals to the log one by one while there are few, and counts the others."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._keys: OrderedDict[Key, _Bucket] = OrderedDict()
        self._addresses: OrderedDict[Key, _Bucket] = OrderedDict()
        self._forgotten = 0

    def admit(self, key: Key, now: float) -> bool:
        """Return whether to log this refusal. If not, count it for the summary."""
        address = self._bucket(self._addresses, (key[0], None, None), PER_ADDRESS, now)
        # The address first, before a bucket for the key is created: with invented AE titles a stranger could push out
        # the buckets of all other senders.
        if address.tokens < 1:
            address.suppress(now)
            return False
        bucket = self._bucket(self._keys, key, PER_KEY, now)
        if bucket.tokens < 1:
            bucket.suppress(now)
            return False
        address.tokens -= 1
        bucket.tokens -= 1
        return True

    def expired(self, now: float) -> list[tuple[Key, int]]:
        """Return the summaries that are due, and drop the buckets that are full again. Call it regularly."""
        return self._collect(now - SUMMARY_S, now)

    def drain(self, now: float) -> list[tuple[Key, int]]:
        """Return all summaries, due or not, for the end of the process."""
        return self._collect(now, now)

    def _collect(self, before: float, now: float) -> list[tuple[Key, int]]:
        due: list[tuple[Key, int]] = []
        for buckets, rate in ((self._keys, PER_KEY), (self._addresses, PER_ADDRESS)):
            for key, bucket in list(buckets.items()):
                if bucket.suppressed and bucket.since <= before:
                    due.append((key, bucket.suppressed))
                    bucket.suppressed = 0
                # A full bucket with nothing to report behaves like a new one: drop it.
                bucket.refill(rate, now)
                if not bucket.suppressed and bucket.tokens >= rate.burst:
                    del buckets[key]
        if self._forgotten:
            due.append((FORGOTTEN, self._forgotten))
            self._forgotten = 0
        return due

    def _bucket(self, buckets: OrderedDict[Key, _Bucket], key: Key, rate: Rate, now: float) -> _Bucket:
        bucket = buckets.get(key)
        if bucket is None:
            if len(buckets) >= self._max_keys:
                _, oldest = buckets.popitem(last=False)
                self._forgotten += oldest.suppressed
            bucket = buckets[key] = _Bucket(rate.burst, now)
        else:
            buckets.move_to_end(key)
            bucket.refill(rate, now)
        return bucket
