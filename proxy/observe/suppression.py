"""One log event per refused peer, not one per attempt: token buckets that count what they hold back.

Pure: the caller gives the time (monotonic, seconds). Memory is bounded: the least recently seen are forgotten, and
what they had held back is still reported, in one sum (invariant 8, docs/architecture.md).
"""

from collections import OrderedDict
from dataclasses import dataclass

#: Address, calling AE title, reason. Title and reason None: all of that address, because it sends too many kinds.
Key = tuple[str, str | None, str | None]
#: Stands for all that was forgotten while it held something back.
FORGOTTEN: Key = ("*", None, None)

MAX_KEYS = 4096
#: A summary of a key comes this many seconds after the first event that it holds back.
SUMMARY_S = 10.0


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` events at once, then one each `interval` seconds."""

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
    """Which refusals are logged one by one, and how many were not."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._keys: OrderedDict[Key, _Bucket] = OrderedDict()
        self._addresses: OrderedDict[Key, _Bucket] = OrderedDict()
        self._forgotten = 0

    def admit(self, key: Key, now: float) -> bool:
        """Whether this refusal is logged; if not, it is counted for the summary."""
        address = self._bucket(self._addresses, (key[0], None, None), PER_ADDRESS, now)
        if address.tokens < 1:  # without a bucket for the key: a stranger makes up any number of titles
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
        """Summaries that are due, each once; also forgets whoever has been quiet for long."""
        return self._collect(now - SUMMARY_S, now)

    def drain(self, now: float) -> list[tuple[Key, int]]:
        """All summaries, due or not: at the end."""
        return self._collect(now, now)

    def _collect(self, before: float, now: float) -> list[tuple[Key, int]]:
        due: list[tuple[Key, int]] = []
        for buckets, rate in ((self._keys, PER_KEY), (self._addresses, PER_ADDRESS)):
            for key, bucket in list(buckets.items()):
                if bucket.suppressed and bucket.since <= before:
                    due.append((key, bucket.suppressed))
                    bucket.suppressed = 0
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
