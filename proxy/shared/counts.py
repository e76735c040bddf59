"""Counts what is open: connections and handshakes by address, associations by tenant, peer, server and request.

The limits hold for the whole gateway: every worker of every generation counts in one shared table, and checks and
counts in one step under its lock. Otherwise two workers could both take the last place.
"""

import contextlib
import resource
from collections.abc import Sequence

from proxy.config.values import Limits
from proxy.policy import Address, Peer, Reason, Tenant
from proxy.shared.table import SharedTable, TableFull, key_of

# An association takes two descriptors, one for each leg. Listening sockets, epoll, the channel
# to the supervisor and the shared memory are in the reserve.
_DESCRIPTORS_PER_ASSOCIATION = 2
_RESERVED_DESCRIPTORS = 64
# A worker that has this many more open connections than the least loaded one lets the others accept first.
_AHEAD = 2

_CONNECTIONS = key_of("connections")
_NO_ROOM = (Reason.CONNECTION_LIMIT, "there is no room to count another address")


def connections_for_descriptors(limits: Limits) -> int:
    """Return the configured limit, or the number that file descriptors allow if that is lower.

    Raises the soft limit of this process (RLIMIT_NOFILE) to the hard one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fit = (hard - _RESERVED_DESCRIPTORS) // _DESCRIPTORS_PER_ASSOCIATION
    # Under a very low descriptor limit nothing is left after the reserve: use a quarter of what there is.
    return min(limits.connections, max(fit, hard // 4))


def table_for(limits: Limits, tenants: Sequence[Tenant], slots: int) -> SharedTable:
    """Create a table with room for all keys that `slots` processes count at once."""
    return SharedTable.create(slots, _keys(limits, tenants))


def has_room(table: SharedTable, limits: Limits, tenants: Sequence[Tenant]) -> bool:
    """Return whether a table that was created for other limits and tenants has room for these.

    Up to half full, a table takes any key. Above that, all rows in the window of a key may be in use (`TableFull`).
    """
    return 2 * _keys(limits, tenants) <= table.rows


def _keys(limits: Limits, tenants: Sequence[Tenant]) -> int:
    """Return the most keys that can be in use: three per connection (two for its address, one for its request), one
    per tenant and peer, and one for all connections.
    """
    names = sum(1 + len(tenant.peers) for tenant in tenants)
    return 3 * limits.connections + names + 1


class Claim:
    """The counters that one connection occupies in the shared table, by their keys. Released when it closes."""

    __slots__ = ("association", "connection", "pending_duplicates", "request", "server", "waiting")

    def __init__(self, address: Address | None) -> None:
        of_address = () if address is None else (key_of("address", address.packed),)
        self.connection: tuple[bytes, ...] = (_CONNECTIONS, *of_address)
        # Released once the association is established.
        self.waiting: tuple[bytes, ...] = () if address is None else (key_of("handshake", address.packed),)
        self.request: bytes | None = None  # key of its A-ASSOCIATE-RQ, while that waits for an answer
        self.pending_duplicates = 0  # other requests with the same key that wait for an answer: a loop is suspected
        self.association: tuple[bytes, ...] = ()
        self.server: bytes | None = None  # the server's key, which `association` contains too


class Counts:
    """The counts of one worker. `slot`: its own in the table. `siblings`: the slots of its generation's workers."""

    def __init__(self, limits: Limits, table: SharedTable, slot: int, siblings: Sequence[int]) -> None:
        self._limits = limits
        self._table = table
        self.slot = slot
        self._others = tuple(sibling for sibling in siblings if sibling != slot)
        self.connections_limit = connections_for_descriptors(limits)
        self.connections = 0  # of this worker
        self.associations = 0  # of this worker: accepted by the policy, established or not

    def connect(self, address: Address | None) -> Claim | tuple[Reason, str]:
        """Count a new connection; return its claim, or the reason and detail of the limit that is reached.

        `address` None: the connection is not limited by address, or not before `attribute` is called.
        """
        table, limits = self._table, self._limits
        # Descriptors are those of this process alone, so this limit needs no lock.
        if self.connections >= self.connections_limit:
            return (
                Reason.CONNECTION_LIMIT,
                f"{self.connections} connections are open, as many as the descriptor limit allows",
            )
        claim = Claim(address)
        try:
            with table.lock:  # all checks and the counts: two workers must not both take the last place
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
        """Count a connection for the address in its PROXY header; return reason and detail if a limit is reached."""
        attributed = Claim(address)
        try:
            with self._table.lock:
                full = self._full(attributed)
                if full is not None:
                    return full
                # Without the first key, _CONNECTIONS: `connect` has counted it already.
                self._take(attributed.connection[1:] + attributed.waiting)
        except TableFull:
            return _NO_ROOM
        claim.connection, claim.waiting = attributed.connection, attributed.waiting
        return None

    def _full(self, claim: Claim) -> tuple[Reason, str] | None:
        """Return reason and detail if the address may not have one more connection. Call it under the lock."""
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
        """Count the association of a connection for its tenant and peer.

        Return None, or a description of the limit that is reached; then nothing is counted.
        """
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
        """Return the sum of all processes' counts of `key`. Read without the lock, it may be one off."""
        return self._table.total(key)

    def serve(self, claim: Claim, server: bytes | None) -> None:
        """Count an acquired association for this server, and no longer for the previous one. None: for no server."""
        with self._table.lock:
            if claim.server is not None:
                self._table.add(self.slot, claim.server, -1)
                claim.association = tuple(key for key in claim.association if key != claim.server)
                claim.server = None
            if server is not None:
                with contextlib.suppress(TableFull):  # balancing gets less exact; the association goes on
                    self._table.add(self.slot, server, 1)
                    claim.association, claim.server = (*claim.association, server), server

    def associated(self, claim: Claim) -> None:
        """Release the counters of an association that is established now: its handshake and its request."""
        answered = () if claim.request is None else (claim.request,)
        self._release(claim.waiting + answered)
        claim.waiting, claim.request = (), None
        claim.association = tuple(key for key in claim.association if key not in answered)

    def release(self, claim: Claim) -> None:
        """Release the counters that `acquire` took, if any."""
        if claim.association:
            self._release(claim.association)
            self._end_association(claim)

    def disconnect(self, claim: Claim) -> None:
        """Release all remaining counters of a connection that has closed."""
        self._release(claim.connection + claim.waiting + claim.association)
        self.connections -= 1
        if claim.association:
            self._end_association(claim)

    def _end_association(self, claim: Claim) -> None:
        claim.association, claim.server = (), None
        self.associations -= 1

    def _take(self, keys: tuple[bytes, ...]) -> None:
        """Count all keys, or none if the table is full. Call it under the lock."""
        taken = []
        try:
            for key in keys:
                self._table.add(self.slot, key, 1)
                taken.append(key)
        except TableFull:
            for key in taken:
                self._table.add(self.slot, key, -1)
            raise

    def _release(self, keys: tuple[bytes, ...]) -> None:
        with self._table.lock:
            for key in keys:
                self._table.add(self.slot, key, -1)

    def ahead(self) -> bool:
        """Return whether another worker should accept next.

        The kernel does not balance a shared listening socket: it may wake the same worker every time.
        """
        if not self._others:
            return False
        # Without the lock, once per accepted connection: a count that is one off does no harm here.
        least = min(self._table.count_of(other, _CONNECTIONS) for other in self._others)
        return self.connections >= least + _AHEAD
