"""The table that `check` prints: the answer of a listener to clients with a known, an unknown and no server name."""

from dataclasses import dataclass

from proxy.policy.model import ClientAuthMode, Entrance, ListenerPolicy, Refuse
from proxy.policy.names import SniResult
from proxy.policy.reasons import HANDSHAKE_FAILURE, UNRECOGNIZED_NAME, Alert
from proxy.policy.tenants import entrance_for_sni

_UNKNOWN_NAME = "unknown.invalid"  # RFC 6761 reserves .invalid: no tenant can have it
_ALERT_NAMES = {UNRECOGNIZED_NAME: "unrecognized_name", HANDSHAKE_FAILURE: "handshake_failure"}


#: Result -> the word for clients without a configured server name.
_CLIENTS = {SniResult.UNKNOWN: "unknown", SniResult.ABSENT: "none", SniResult.UNUSED: "any"}


@dataclass(frozen=True, slots=True)
class SniRow:
    """One row: a configured server name, or None for any other name and for no name.

    `sender`: known, unknown, none; or any, if no tenant has a server name. `tenant` is None if the request selects it
    later. With a TLS alert as the answer, `tenant` and `client_auth` are None.
    """

    server_name: str | None
    sender: str
    result: SniResult
    tenant: str | None
    client_auth: ClientAuthMode | None
    alert: int | None
    answer: str


def describe_sni(listener: ListenerPolicy) -> list[SniRow]:
    """Return the rows of a TLS listener, configured names first. A plaintext listener has none."""
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
    answer = f"certificate of tenant {tenant}, client certificate {mode}"
    return SniRow(name, "known", result, tenant, mode, None, answer)


def _without_tenant(listener: ListenerPolicy, result: SniResult, sni: str | None) -> SniRow:
    outcome = entrance_for_sni(listener, sni)
    if isinstance(outcome, Refuse) and isinstance(outcome.answer, Alert):
        alert = outcome.answer.description
        name = _ALERT_NAMES.get(alert, "") if alert is not None else ""
        return SniRow(None, _CLIENTS[result], result, None, None, alert, f"TLS alert {alert} {name} ({outcome.reason})")
    mode = listener.client_auth.mode
    reachable = [entrance.tenant.name for entrance in listener.entrances if not _needs_sni(listener, entrance)]
    tenants = f"one of {', '.join(reachable)}" if len(reachable) > 1 else "".join(reachable) or "none"
    how = " by source, client certificate and called AE title" if len(listener.entrances) > 1 else ""
    answer = f"certificate of the listener, client certificate {mode}; tenant{how}: {tenants}"
    return SniRow(None, _CLIENTS[result], result, None, mode, None, answer)


def _needs_sni(listener: ListenerPolicy, entrance: Entrance) -> bool:
    """Return whether a tenant demands a certificate that the listener does not ask for without SNI (`sni_required`)."""
    return entrance.client_auth.mode is ClientAuthMode.REQUIRED and listener.client_auth.mode is ClientAuthMode.NONE
