"""What senders with a known, an unknown and no server name get at a listener: the table that `check` prints."""

from dataclasses import dataclass

from proxy.policy.model import ClientAuthMode, Entrance, Listener, Refuse
from proxy.policy.names import SniResult
from proxy.policy.reasons import HANDSHAKE_FAILURE, UNRECOGNIZED_NAME, Alert
from proxy.policy.tenants import entrance_for_sni

# `.invalid` (RFC 6761) is nobody's server name.
_UNKNOWN_NAME = "unknown.invalid"
_ALERT_NAMES = {UNRECOGNIZED_NAME: "unrecognized_name", HANDSHAKE_FAILURE: "handshake_failure"}


@dataclass(frozen=True, slots=True)
class SniRow:
    """One row: a configured name, or None for the rows of any other name and of no name at all.

    Where a TLS alert is the answer, `tenant` and `client_auth` are None; `tenant` also where it is matched later.
    """

    server_name: str | None
    result: SniResult
    tenant: str | None
    client_auth: ClientAuthMode | None
    alert: int | None
    answer: str


def describe_sni(listener: Listener) -> list[SniRow]:
    """The rows of a TLS listener, configured names first; of a plaintext listener none."""
    if not listener.tls:
        return []
    rows = [_known(name, entrance) for entrance in listener.entrances for name in entrance.tenant.server_names]
    if not rows:
        return [_without_tenant(listener, SniResult.UNUSED, None)]
    return [
        *rows,
        _without_tenant(listener, SniResult.UNKNOWN, _UNKNOWN_NAME),
        _without_tenant(listener, SniResult.ABSENT, None),
    ]


def _known(name: str, entrance: Entrance) -> SniRow:
    result = SniResult.WILDCARD if name.startswith("*.") else SniResult.EXACT
    tenant, mode = entrance.tenant.name, entrance.client_auth.mode
    return SniRow(name, result, tenant, mode, None, f"certificate of tenant {tenant}, client certificate {mode}")


def _without_tenant(listener: Listener, result: SniResult, sni: str | None) -> SniRow:
    outcome = entrance_for_sni(listener, sni)
    if isinstance(outcome, Refuse) and isinstance(outcome.answer, Alert):
        alert = outcome.answer.description
        name = _ALERT_NAMES.get(alert, "") if alert is not None else ""
        return SniRow(None, result, None, None, alert, f"TLS alert {alert} {name} ({outcome.reason})")
    mode = listener.client_auth.mode
    reachable = [entrance.tenant.name for entrance in listener.entrances if not _needs_sni(listener, entrance)]
    tenants = f"one of {', '.join(reachable)}" if len(reachable) > 1 else "".join(reachable) or "none"
    how = " by source, client certificate and called AE title" if len(listener.entrances) > 1 else ""
    answer = f"certificate of the listener, client certificate {mode}; tenant{how}: {tenants}"
    return SniRow(None, result, None, mode, None, answer)


def _needs_sni(listener: Listener, entrance: Entrance) -> bool:
    """Whether a tenant demands a certificate that the listener does not ask for without SNI (`sni_required`)."""
    return entrance.client_auth.mode is ClientAuthMode.REQUIRED and listener.client_auth.mode is ClientAuthMode.NONE
