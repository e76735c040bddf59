"""Who holds what right now: connections, those without an association by address, associations by tenant and peer.

The caps are those of the whole gateway: every worker of every generation counts in one shared table, and checks and
counts in one step under its lock.
"""

import contextlib
import resource
from collections.abc import Sequence

from proxy.config.values import Limits
from proxy.policy import Address, Peer, Reason, Tenant
from proxy.shared.table import SharedTable, TableFull, key_of

# Two descriptors per association, and some for listeners, logs, the admin server and files being read.
_DESCRIPTORS_PER_ASSOCIATION = 2
_RESERVED_DESCRIPTORS = 64
# A worker with so many more open connections than the least loaded one lets the others accept.
_AHEAD = 2

_CONNECTIONS = key_of("connections")
_NO_ROOM = (Reason.CONNECTION_LIMIT, "there is no room to count another address")


def connections_for_descriptors(limits: Limits) -> int:
    """The configured cap, or what the descriptor limit allows, whose soft value is raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fit = (hard - _RESERVED_DESCRIPTORS) // _DESCRIPTORS_PER_ASSOCIATION
    # A very low descriptor limit leaves no room for the reserve: share what there is.
    return min(limits.connections, max(fit, hard // 4))


def table_for(limits: Limits, tenants: Sequence[Tenant], slots: int) -> SharedTable:
    """A table with room for all that `slots` processes count at once."""
    return SharedTable.create(slots, _keys(limits, tenants))


def has_room(table: SharedTable, limits: Limits, tenants: Sequence[Tenant]) -> bool:
    """Whether a table that was made for other limits and tenants can count these: half full it still takes a key."""
    return 2 * _keys(limits, tenants) <= table.rows


def _keys(limits: Limits, tenants: Sequence[Tenant]) -> int:
    """For each connection these are two keys of its address, and one of its request."""
    names = sum(1 + len(tenant.peers) for tenant in tenants)
    return 3 * limits.connections + names + 1


class Claim:
    """What one connection counts for, until it is given back: keys of the table."""

    __slots__ = ("association", "connection", "pending_duplicates", "request", "server", "waiting")

    def __init__(self, address: Address | None) -> None:
        of_address = () if address is None else (key_of("address", address.packed),)
        self.connection: tuple[bytes, ...] = (_CONNECTIONS, *of_address)
        # Until it has its association.
        self.waiting: tuple[bytes, ...] = () if address is None else (key_of("handshake", address.packed),)
        self.request: bytes | None = None  # the key of what it asks for
        self.pending_duplicates = 0  # requests of that key which waited for an answer already
        self.association: tuple[bytes, ...] = ()
        self.server: bytes | None = None  # of `association`, the key of its server


class Counts:
    """What one worker counts. `slot` is its own in the table, `siblings` are the slots of the workers beside it."""

    def __init__(self, limits: Limits, table: SharedTable, slot: int, siblings: Sequence[int]) -> None:
        self._limits = limits
        self._table = table
        self.slot = slot
        self._others = tuple(sibling for sibling in siblings if sibling != slot)
        self.connections_limit = connections_for_descriptors(limits)
        self.connections = 0  # of this worker
        self.associations = 0  # of this worker: that the policy accepted, established or on the way

    def connect(self, address: Address | None) -> Claim | tuple[Reason, str]:
        """Count a new connection, which has no association yet; or say why there is no room for it.

        `address` None: it is not limited by address, or not before `attribute` says which.
        """
        table, limits = self._table, self._limits
        if self.connections >= self.connections_limit:
            return (
                Reason.CONNECTION_LIMIT,
                f"{self.connections} connections are open, which is all that descriptors allow",
            )
        claim = Claim(address)
        try:
            with table.lock:
                held = table.total(_CONNECTIONS)
                if held >= limits.connections:
                    return Reason.CONNECTION_LIMIT, f"{held} connections are open (limits.connections)"
                full = None if address is None else self._full(claim)
                if full is not None:
                    return full
                self._take(claim.connection + claim.waiting)
        except TableFull:
            return _NO_ROOM
        self.connections += 1
        return claim

    def attribute(self, claim: Claim, address: Address) -> tuple[Reason, str] | None:
        """Count a connection for the address that it turned out to come from; or say why there is no room for it."""
        attributed = Claim(address)
        try:
            with self._table.lock:
                full = self._full(attributed)
                if full is not None:
                    return full
                self._take(attributed.connection[1:] + attributed.waiting)
        except TableFull:
            return _NO_ROOM
        claim.connection, claim.waiting = attributed.connection, attributed.waiting
        return None

    def _full(self, claim: Claim) -> tuple[Reason, str] | None:
        """Why its address may not have one more connection. Call it locked."""
        table, limits = self._table, self._limits
        held = table.total(claim.connection[1])
        if held >= limits.connections_per_address:
            text = f"{held} connections of this address are open (limits.connections_per_address)"
            return Reason.ADDRESS_LIMIT, text
        held = table.total(*claim.waiting)
        if held >= limits.handshakes_per_address:
            text = f"{held} connections of this address have no association yet (limits.handshakes_per_address)"
            return Reason.ADDRESS_LIMIT, text
        return None

    def acquire(self, claim: Claim, tenant: Tenant, peer: Peer | None) -> str | None:
        """Count the association of a connection for its tenant and peer; or say which cap is reached."""
        table = self._table
        of_tenant = key_of("tenant", tenant.name)
        of_peer = () if peer is None else (key_of("peer", tenant.name, peer.name),)
        of_request = () if claim.request is None else (claim.request,)
        try:
            with table.lock:
                held = table.total(of_tenant)
                if tenant.max_associations is not None and held >= tenant.max_associations:
                    return f"tenant {tenant.name} has {held} associations (max_associations)"
                if peer is not None and peer.max_associations is not None:
                    held = table.total(*of_peer)
                    if held >= peer.max_associations:
                        return f"peer {peer.name} has {held} associations (max_associations)"
                claim.pending_duplicates = table.total(*of_request) if of_request else 0
                self._take((of_tenant, *of_peer, *of_request))
        except TableFull:
            return "there is no room to count another association"
        claim.association = (of_tenant, *of_peer, *of_request)
        self.associations += 1
        return None

    def count(self, key: bytes) -> int:
        """What all processes count under `key`; it may be one off."""
        return self._table.total(key)

    def serve(self, claim: Claim, server: bytes | None) -> None:
        """Count an association that was acquired for this server, and no other."""
        with self._table.lock:
            if claim.server is not None:
                self._table.add(self.slot, claim.server, -1)
                claim.association = tuple(key for key in claim.association if key != claim.server)
                claim.server = None
            if server is not None:
                with contextlib.suppress(TableFull):  # it is served all the same
                    self._table.add(self.slot, server, 1)
                    claim.association, claim.server = (*claim.association, server), server

    def associated(self, claim: Claim) -> None:
        """The connection has its association, and its request an answer."""
        answered = () if claim.request is None else (claim.request,)
        self._give_back(claim.waiting + answered)
        claim.waiting, claim.request = (), None
        claim.association = tuple(key for key in claim.association if key not in answered)

    def release(self, claim: Claim) -> None:
        """Give back what `acquire` counted, if it did."""
        if claim.association:
            self._give_back(claim.association)
            self._released(claim)

    def disconnect(self, claim: Claim) -> None:
        """The connection is closed: all that is left of its claim is given back."""
        self._give_back(claim.connection + claim.waiting + claim.association)
        self.connections -= 1
        if claim.association:
            self._released(claim)

    def _released(self, claim: Claim) -> None:
        claim.association, claim.server = (), None
        self.associations -= 1

    def _take(self, keys: tuple[bytes, ...]) -> None:
        """Count all of them or, where the table is full, none. Call it locked."""
        taken = []
        try:
            for key in keys:
                self._table.add(self.slot, key, 1)
                taken.append(key)
        except TableFull:
            for key in taken:
                self._table.add(self.slot, key, -1)
            raise

    def _give_back(self, keys: tuple[bytes, ...]) -> None:
        with self._table.lock:
            for key in keys:
                self._table.add(self.slot, key, -1)

    def ahead(self) -> bool:
        """Whether another worker should take the next connection: a shared listening socket alone does not balance."""
        if not self._others:
            return False
        # Read without the lock: a count that is one off does no harm here.
        least = min(self._table.count_of(other, _CONNECTIONS) for other in self._others)
        return self.connections >= least + _AHEAD
