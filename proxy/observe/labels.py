"""The values that a label may take under one configuration, and the series that exist from the start.

If a stranger could choose a label value, it could fill the memory of the gateway and of Prometheus with series. So
every label has a closed set, and a value outside it is counted as `other`.
"""

import functools
import itertools
import ssl
from collections.abc import Iterator, Mapping

from proxy.config.values import Config
from proxy.dimse.command import REQUESTS
from proxy.dimse.services import SOP_CLASS_GROUPS
from proxy.observe.families import NO_TENANT, operation_label
from proxy.observe.family import Family
from proxy.pdu import PduType
from proxy.policy import Ended, Reason
from proxy.upstream.verification import Outcome

_REASONS = tuple(map(str, Reason))
#: Labels without a closed set: their values come from the gateway's own files and libraries, never from a peer.
_OPEN = frozenset({"version", "python", "openssl", "uvloop", "use", "name", "serial", "issuer"})
#: Labels whose values are the same under every configuration.
_FIXED: Mapping[str, tuple[str, ...]] = {
    "phase": ("proxy_header", "tls_handshake", "waiting_associate", "associated", "closing"),
    "reason": _REASONS,
    "role": ("server", "client"),
    "resumed": ("no", "yes"),
    "client_cert": ("none", "given"),
    "outcome": ("accepted", "refused", "failed"),
    "ended": tuple(map(str, Ended)),
    "decision": ("accept", "refuse", "would_refuse"),
    "side": ("client", "upstream"),
    "direction": ("in", "out"),
    "type": tuple(pdu_type.name.lower() for pdu_type in PduType),
    "operation": tuple(operation_label(name) for name in REQUESTS.values()),
    "status_class": ("success", "pending", "warning", "failure", "cancel"),
    "sop_class": SOP_CLASS_GROUPS,
    "trigger": ("signal", "api", "watch"),
    "check": ("tcp", "echo"),
    "state": ("starting", "running", "draining", "silent"),
}
#: Labels whose values come from the configuration or from OpenSSL; see `Labels`.
_OTHERS = ("cipher", "listener", "rule", "server", "tenant", "upstream")
#: Labels whose closed set depends on the family.
_OF_FAMILY: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("tls_handshakes_total", "version"): ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    ("sni_lookups_total", "result"): ("exact", "wildcard", "unknown", "absent", "unused"),
    ("proxy_protocol_headers_total", "result"): ("ok", "missing", "malformed", "untrusted"),
    ("config_reloads_total", "result"): ("ok", "failed"),
    ("upstream_connect_attempts_total", "result"): ("ok", "refused", "timeout", "dns", "tls", "loop", "error"),
    ("upstream_health_checks_total", "result"): tuple(map(str, Outcome)),
    ("label_overflow_total", "label"): tuple(sorted({*_FIXED, *_OTHERS, "version", "result"})),
}


@functools.cache
def _ciphers() -> tuple[str, ...]:
    """Return the names of all cipher suites that this OpenSSL knows."""
    # At security level 0, and with those that no profile enables: a peer cannot negotiate a suite outside this list.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return tuple(cipher["name"] for cipher in context.get_ciphers())


class Labels:
    """The closed set of every label under one configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        peers = tuple(peer.name for tenant in config.tenants.values() for peer in tenant.peers)
        self.values: Mapping[str, tuple[str, ...]] = {
            **_FIXED,
            "cipher": _ciphers(),
            "listener": tuple(listener.name for listener in config.listeners),
            "rule": (*peers, *_REASONS),
            "server": tuple(s.label for upstream in config.upstreams.values() for s in upstream.servers),
            "tenant": (*config.tenants, NO_TENANT),
            "upstream": tuple(config.upstreams),
        }
        # Filled on demand: most processes meet only a few labels.
        self._sets: dict[tuple[str, str], frozenset[str]] = {}

    def is_known(self, family: str, label: str, value: str) -> bool:
        """Return whether the value belongs to the label's closed set."""
        place = family, label
        if label in _OPEN and place not in _OF_FAMILY:
            return True
        known = self._sets.get(place)
        if known is None:
            known = self._sets[place] = frozenset(self.possible(family, label))
        return value in known

    def possible(self, family: str, label: str) -> tuple[str, ...]:
        """Return the closed set of a label in a family."""
        return _OF_FAMILY.get((family, label)) or self.values[label]

    def at_start(self, family: Family) -> Iterator[tuple[str, ...]]:
        """Return the label values of the series that a family has from the start."""
        if not family.at_start:
            return iter(())
        if family.name == "policy_decisions_total":
            return self._decisions()
        if family.name == "upstream_health_checks_total":
            return self._checks(family)
        if family.labels[:2] == ("upstream", "server"):
            # Each server belongs to one upstream. A product of all names would create series of impossible pairs.
            rest = (self.possible(family.name, label) for label in family.labels[2:])
            servers = ((u.name, s.label) for u in self._config.upstreams.values() for s in u.servers)
            return (pair + tuple(values) for pair, values in itertools.product(servers, itertools.product(*rest)))
        return itertools.product(*(self._at_start(family, label) for label in family.labels))

    def _decisions(self) -> Iterator[tuple[str, ...]]:
        for tenant in self._config.tenants.values():
            for peer in tenant.peers:
                yield tenant.name, peer.name, "refuse" if peer.refuse else "accept"

    def _checks(self, family: Family) -> Iterator[tuple[str, ...]]:
        for upstream in self._config.upstreams.values():
            if upstream.health_check is not None:
                for server, result in itertools.product(upstream.servers, self.possible(family.name, "result")):
                    yield upstream.name, server.label, upstream.health_check.type, result

    def _at_start(self, family: Family, label: str) -> tuple[str, ...]:
        if label == "reason":
            return tuple(map(str, family.reasons))
        if label == "role":
            return ("server",)  # TLS to upstreams is rare: its series are created on the first handshake
        return self.possible(family.name, label)
