"""The decision: which tenant, which peer, yes or no, and why. Pure."""

from proxy.policy.advice import advice
from proxy.policy.contexts import move_allowed
from proxy.policy.decision import decide, judge
from proxy.policy.model import (
    Accept,
    Address,
    Certificate,
    CertificateConditions,
    ClientAuth,
    ClientAuthMode,
    Decision,
    Entrance,
    Facts,
    Listener,
    NeedsIdentity,
    Network,
    Outcome,
    Peer,
    Refuse,
    Step,
    Tenant,
    User,
    UserConditions,
)
from proxy.policy.names import SniLookup, SniResult
from proxy.policy.reasons import ANSWERS, Abort, Alert, Answer, Close, Ended, PassOn, Reason, Reject, Status
from proxy.policy.sni_table import SniRow, describe_sni
from proxy.policy.tenants import entrance_for_sni, select_tenant

__all__ = [
    "ANSWERS",
    "Abort",
    "Accept",
    "Address",
    "Alert",
    "Answer",
    "Certificate",
    "CertificateConditions",
    "ClientAuth",
    "ClientAuthMode",
    "Close",
    "Decision",
    "Ended",
    "Entrance",
    "Facts",
    "Listener",
    "NeedsIdentity",
    "Network",
    "Outcome",
    "PassOn",
    "Peer",
    "Reason",
    "Refuse",
    "Reject",
    "SniLookup",
    "SniResult",
    "SniRow",
    "Status",
    "Step",
    "Tenant",
    "User",
    "UserConditions",
    "advice",
    "decide",
    "describe_sni",
    "entrance_for_sni",
    "judge",
    "move_allowed",
    "select_tenant",
]
