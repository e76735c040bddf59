"""Who holds what right now: connections, those without an association by address, associations by tenant and peer.

One process's own counts. Everything that is capped goes through here, so that counting over several processes can
replace this file and nothing else.
"""

import resource
from collections import Counter
from typing import Any

from proxy.config.values import Limits
from proxy.policy import Address, Peer, Reason, Tenant

# Two descriptors per association, and some for listeners, logs, the admin server and files being read.
_DESCRIPTORS_PER_ASSOCIATION = 2
_RESERVED_DESCRIPTORS = 64


def connections_for_descriptors(limits: Limits) -> int:
    """The configured cap, or what the descriptor limit allows, whose soft value is raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fit = (hard - _RESERVED_DESCRIPTORS) // _DESCRIPTORS_PER_ASSOCIATION
    # A very low descriptor limit leaves no room for the reserve: share what there is.
    return min(limits.connections, max(fit, hard // 4))


class Counts:
    """Check and count, in one step each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.connections_limit = connections_for_descriptors(limits)
        self.connections = 0
        self._by_address: Counter[Address] = Counter()
        self._handshakes: Counter[Address] = Counter()
        self._associations: Counter[str | tuple[str, str]] = Counter()
        self.associations = 0  # that the policy accepted, established or on the way

    def connect(self, address: Address) -> tuple[Reason, str] | None:
        """Count a new connection, which has no association yet; or say why there is no room for it."""
        if self.connections >= self.connections_limit:
            return Reason.CONNECTION_LIMIT, f"{self.connections} connections are open (limits.connections)"
        held = self._by_address[address]
        if held >= self._limits.connections_per_address:
            return Reason.ADDRESS_LIMIT, f"{held} connections of this address are open (limits.connections_per_address)"
        waiting = self._handshakes[address]
        if waiting >= self._limits.handshakes_per_address:
            text = f"{waiting} connections of this address have no association yet (limits.handshakes_per_address)"
            return Reason.ADDRESS_LIMIT, text
        self.connections += 1
        self._by_address[address] += 1
        self._handshakes[address] += 1
        return None

    def associated(self, address: Address) -> None:
        """The connection has its association, or was refused one."""
        _take(self._handshakes, address)

    def disconnect(self, address: Address) -> None:
        """The connection is closed. `associated` was called before."""
        self.connections -= 1
        _take(self._by_address, address)

    def acquire(self, tenant: Tenant, peer: Peer | None) -> str | None:
        """Count an association of a tenant and peer; or say which cap is reached."""
        held = self._associations[tenant.name]
        if tenant.max_associations is not None and held >= tenant.max_associations:
            return f"tenant {tenant.name} has {held} associations (max_associations)"
        if peer is not None:
            key = (tenant.name, peer.name)
            held = self._associations[key]
            if peer.max_associations is not None and held >= peer.max_associations:
                return f"peer {peer.name} has {held} associations (max_associations)"
            self._associations[key] += 1
        self._associations[tenant.name] += 1
        self.associations += 1
        return None

    def release(self, tenant: Tenant, peer: Peer | None) -> None:
        """Give back what `acquire` counted."""
        self.associations -= 1
        _take(self._associations, tenant.name)
        if peer is not None:
            _take(self._associations, (tenant.name, peer.name))


def _take(counter: Counter[Any], key: object) -> None:
    """Count down, and forget what is zero: keys come from strangers."""
    if counter[key] <= 1:
        del counter[key]
    else:
        counter[key] -= 1
