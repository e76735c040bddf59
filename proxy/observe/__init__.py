"""What happened, for people and machines: metrics, the access record, the event log. For workers.

What imports much is imported by its own name: `certificates` (cryptography), and in the supervisor alone `exposition`
and `admin` (prometheus_client, aiohttp).
"""

from proxy.observe.access import AccessRecord
from proxy.observe.answers import describe_answer
from proxy.observe.eventlog import EventLog
from proxy.observe.families import FAMILIES, NO_TENANT
from proxy.observe.metrics import Metrics, Snapshot, merge
from proxy.observe.suppression import RefusalLimiter

__all__ = [
    "FAMILIES",
    "NO_TENANT",
    "AccessRecord",
    "EventLog",
    "Metrics",
    "RefusalLimiter",
    "Snapshot",
    "describe_answer",
    "merge",
]
