"""The values that a label may take under one configuration, and which series exist from the start."""

import itertools
import ssl
from collections.abc import Iterator, Mapping

from proxy.config.values import Config
from proxy.dimse.command import REQUESTS
from proxy.dimse.services import SOP_CLASS_GROUPS
from proxy.observe.families import FAMILIES, NO_TENANT, operation_label
from proxy.observe.family import Family
from proxy.pdu import PduType
from proxy.policy import Ended, Reason
from proxy.upstream.verification import Outcome

#: Labels whose values this process itself makes from its configuration files and libraries, never from a peer.
_OWN = {"version", "python", "openssl", "uvloop", "use", "name", "serial", "issuer"}


class Labels:
    """The closed set of every label under one configuration."""

    def __init__(self, config: Config) -> None:
        self._config = config
        any_cipher = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        any_cipher.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
        reasons = tuple(str(reason) for reason in Reason)
        peers = tuple(peer.name for tenant in config.tenants.values() for peer in tenant.peers)
        self.values: Mapping[str, tuple[str, ...]] = {
            "listener": tuple(listener.name for listener in config.listeners),
            "phase": ("proxy_header", "tls_handshake", "waiting_associate", "associated", "closing"),
            "reason": reasons,
            "role": ("server", "client"),
            "cipher": tuple(cipher["name"] for cipher in any_cipher.get_ciphers()),
            "resumed": ("no", "yes"),
            "client_cert": ("none", "given"),
            "tenant": (*config.tenants, NO_TENANT),
            "outcome": ("accepted", "refused", "failed"),
            "ended": tuple(str(ended) for ended in Ended),
            "rule": (*peers, *reasons),
            "decision": ("accept", "refuse", "would_refuse"),
            "side": ("client", "upstream"),
            "direction": ("in", "out"),
            "type": tuple(pdu_type.name.lower() for pdu_type in PduType),
            "operation": tuple(operation_label(name) for name in REQUESTS.values()),
            "status_class": ("success", "pending", "warning", "failure", "cancel"),
            "sop_class": SOP_CLASS_GROUPS,
            "upstream": tuple(config.upstreams),
            "server": tuple(s.label for upstream in config.upstreams.values() for s in upstream.servers),
            "trigger": ("signal", "api", "watch"),
            "check": ("tcp", "echo"),
            "state": ("starting", "running", "draining", "silent"),
        }
        # Where a label has another closed set in one family than elsewhere.
        self._of_family: Mapping[tuple[str, str], tuple[str, ...]] = {
            ("tls_handshakes_total", "version"): ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
            ("sni_lookups_total", "result"): ("exact", "wildcard", "unknown", "absent", "unused"),
            ("proxy_protocol_headers_total", "result"): ("ok", "missing", "malformed", "untrusted"),
            ("config_reloads_total", "result"): ("ok", "failed"),
            ("upstream_connect_attempts_total", "result"): ("ok", "refused", "timeout", "dns", "tls", "loop", "error"),
            ("upstream_health_checks_total", "result"): tuple(map(str, Outcome)),
            ("label_overflow_total", "label"): tuple(sorted({*self.values, "version", "result"})),
        }
        self._sets: Mapping[tuple[str, str], frozenset[str] | None] = {
            (family.name, label): self._closed_set(family, label) for family in FAMILIES for label in family.labels
        }

    def is_known(self, family: str, label: str, value: str) -> bool:
        """Whether the value belongs to the label's closed set."""
        known = self._sets[family, label]
        return known is None or value in known

    def at_start(self, family: Family) -> Iterator[tuple[str, ...]]:
        """The label values with which a family is created at start."""
        if not family.at_start:
            return iter(())
        if family.name == "policy_decisions_total":
            return self._decisions()
        if family.name == "upstream_health_checks_total":
            return self._checks(family)
        if family.labels[:2] == ("upstream", "server"):
            rest = (self._possible(family, label) for label in family.labels[2:])
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
                for server, result in itertools.product(upstream.servers, self._possible(family, "result")):
                    yield upstream.name, server.label, upstream.health_check.type, result

    def _possible(self, family: Family, label: str) -> tuple[str, ...]:
        return self._of_family.get((family.name, label)) or self.values[label]

    def _at_start(self, family: Family, label: str) -> tuple[str, ...]:
        if label == "reason":
            return tuple(str(reason) for reason in family.reasons)
        if label == "role":
            return ("server",)  # towards the upstream TLS is rare: created when it happens
        return self._possible(family, label)

    def _closed_set(self, family: Family, label: str) -> frozenset[str] | None:
        if label in _OWN and (family.name, label) not in self._of_family:
            return None
        return frozenset(self._possible(family, label))
