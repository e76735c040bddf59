"""One association: its stages in their order, up to the hand-over to the relay (docs/architecture.md)."""

import time

from proxy.net.connection import Arrival, AssociationOwner, Connection
from proxy.net.dial import dial
from proxy.net.early import EarlyWatch
from proxy.net.established import Agreed, Established
from proxy.net.leg import Leg
from proxy.net.loops import LoopGuard, request_key
from proxy.net.proxied import admit_address, endpoint, read_proxy_header
from proxy.net.refused import Refused, UpstreamRefused
from proxy.net.stages import (
    Accepted,
    Asked,
    Secured,
    admit_entrance,
    answer_to_requestor,
    read_answer,
    read_client_hello,
    read_request,
    tls_handshake,
    understand_request,
)
from proxy.net.station import Station
from proxy.pdu import edit_associate_rq
from proxy.pdu.proxy_header import Endpoint, encode_proxy_header
from proxy.policy import Accept, Facts, NeedsIdentity, Reason, Refuse, judge

# A request longer than this (bytes) is parsed in a turn of its own (`exclusive_turn`). 256 KiB of the shortest transfer
# syntaxes take 60 ms to parse, and any stranger may send dozens of such requests at once.
_LARGE = 32 * 1024


class Association(Connection):
    """The stages of one association."""

    __slots__ = ("_address", "_destination", "_guard")

    def __init__(self, owner: AssociationOwner, station: Station, guard: LoopGuard, arrival: Arrival) -> None:
        super().__init__(owner, station, arrival)
        self._guard = guard
        self._address = arrival.address
        self._destination: Endpoint | None = None  # the address that the requestor dialled, if a PROXY header names it
        self._start(self._run())  # `Connection._run` walks the stages, and turns what they raise into an answer

    async def _walk(self) -> None:
        """The life of an association (docs/architecture.md). Each stage has a deadline of its own and may refuse."""
        received = await self._locate()
        secured = await self._secure(received)
        asked = await self._read_request(secured)
        accept = self._decide(asked)
        forwarded = self._edit(asked, accept)
        upstream = await self._dial(accept, forwarded)
        answer = await self._ask(upstream, accept, forwarded)
        self._relay_from_here(upstream, accept, asked, answer)

    async def _locate(self) -> bytes:
        """Read the PROXY header, if the listener expects one. Return the bytes that followed it.

        From here on the address of the requestor is the one that the header names.
        """
        protocol = self.listener.proxy_protocol
        if protocol is None:
            return b""
        timeouts = self._station.config.timeouts
        self.account.phase("proxy_header")
        self._within(timeouts.proxy_header, Reason.PROXY_HEADER_TIMEOUT, "no complete PROXY header came in time")
        peer = (self._address, self.account.record.client_port or 0)
        header, received = await read_proxy_header(self, self._requestor, protocol, peer)
        self.account.located(header)
        if header.source is not None:
            self._address, self._destination = header.source[0], header.destination
            # Until now the connection counted for no address: a load balancer speaks for many.
            full = self._station.counts.attribute(self.claim, self._address)
            if full is not None:
                raise Refused(*full)
        # Only a load balancer outside `networks` waits here, on a plaintext listener as well.
        self._within(timeouts.client_hello, Reason.CLIENT_HELLO_TIMEOUT, "nothing followed the PROXY header in time")
        return await admit_address(self, self._requestor, self.listener, self._address, header, received)

    async def _secure(self, received: bytes) -> Secured:
        """Read the ClientHello, find the tenant by SNI, and do the handshake under that tenant's own TLS context."""
        if self.listener.tls is None:
            return Secured(received=received)
        timeouts, leg = self._station.config.timeouts, self._requestor
        self.account.phase("tls_handshake")
        self._within(timeouts.client_hello, Reason.CLIENT_HELLO_TIMEOUT, "no complete ClientHello came in time")
        hello, received = await read_client_hello(self, leg, received)
        self.account.hello(hello)
        entrance = admit_entrance(self.listener.policy, hello.server_name)
        self._within(timeouts.tls_handshake, Reason.TLS_TIMEOUT, "the TLS handshake did not end in time")
        # The context is chosen before there is a TLS object. A context swapped in OpenSSL's SNI callback would keep the
        # verify mode, CRL flags and versions of the listener: a client without a certificate would get in.
        tls = self._station.tls[self.listener.name]
        context = tls.default if entrance is None else tls.tenant(entrance.tenant.name)
        # The leg speaks TLS only after the handshake: until then its bytes are read raw, and an alert is sent raw.
        leg.tls = tls_endpoint = await tls_handshake(self, leg, context, hello, received)
        certificate = context.client_certificate(tls_endpoint.object, time.time())
        self.account.secured(tls_endpoint.object, certificate)
        return Secured(entrance, certificate, hello.server_name)

    async def _read_request(self, secured: Secured) -> Asked:
        """Read and parse the A-ASSOCIATE-RQ."""
        config = self._station.config
        self.account.phase("waiting_associate")
        self._within(config.timeouts.artim, Reason.ARTIM_EXPIRED, "no complete A-ASSOCIATE-RQ came in time")
        pdu = await read_request(self, self._requestor, config.limits.associate_rq, secured.received)
        self.account.requested(pdu)
        if len(pdu) > _LARGE:
            await self._owner.exclusive_turn()
        request = understand_request(pdu)
        self.account.request(request)
        facts = Facts(self._address, request, time.time(), secured.server_name, secured.certificate)
        return Asked(pdu, facts, secured.entrance)

    def _decide(self, asked: Asked) -> Accept:
        """Ask the policy, and count the association for its tenant and peer."""
        # A draining worker still accepts and reads requests: RJ 2/3/1 tells the sender to try again later; a connection
        # refused by TCP would look like a fault.
        if self._owner.draining:
            raise Refused(Reason.DRAINING, "the gateway is about to stop")
        # Set before `acquire`, which counts the identical requests that still wait for an answer: from that count the
        # loop guard suspects a loop.
        self.claim.request = request_key(asked.pdu)
        decision = judge(self.listener.policy, asked.entrance, asked.facts)
        self.account.decision(decision)
        if isinstance(decision, Refuse):
            raise Refused(decision.reason, decision.detail, decision.answer)
        if isinstance(decision, NeedsIdentity):
            raise Refused(Reason.IDENTITY_UNAVAILABLE, "no identity provider can be asked")
        # `max_associations` of the tenant and the peer: the rule is `Counts.acquire`.
        full = self._station.counts.acquire(self.claim, decision.tenant, decision.peer)
        if full is not None:
            raise Refused(Reason.ASSOCIATION_LIMIT, full)
        # Raises `Refused` if this is a question of our own loop guard that came back. After the policy, so that a
        # stranger who guesses the name of a question learns nothing and changes nothing.
        self._guard.recognise(asked.facts.request)
        return decision

    def _edit(self, asked: Asked, accept: Accept) -> bytes:
        """Return the A-ASSOCIATE-RQ for the upstream: the bytes received, but for the edits of the decision."""
        return edit_associate_rq(
            asked.pdu,
            asked.facts.request,
            called=accept.called_ae_title,
            calling=accept.calling_ae_title,
            keep_contexts=accept.keep_contexts,
            transfer_syntaxes=accept.transfer_syntaxes,
            scp_roles=accept.scp_roles,
            strip_user_identity=accept.strip_user_identity,
        )

    async def _dial(self, accept: Accept, forwarded: bytes) -> Leg:
        """Connect to the upstream while watching whether the requestor leaves."""
        self._within(None)  # `dial` has a deadline of its own, divided among servers and addresses
        # From here to the A-ASSOCIATE-AC `Connection.readable` watches the requestor through `_early`: the stages wait
        # for the upstream, and a requestor that leaves must end the dial at once, not after
        # `timeouts.upstream_connect`.
        self._early = EarlyWatch()
        upstream = self._station.config.upstreams[accept.upstream]
        self._upstream = await dial(self, self._station, self._guard, upstream, self.account, forwarded)
        return self._upstream

    async def _ask(self, upstream: Leg, accept: Accept, forwarded: bytes) -> Accepted:
        """Forward the request and read the answer of the upstream."""
        station, record = self._station, self.account.record
        text = "the upstream did not answer the request in time"
        self._within(station.config.timeouts.upstream_accept, Reason.UPSTREAM_TIMEOUT, text)
        # Before the first byte. `forwarded`: an upstream that is left later gets an A-ABORT. `opened`: if this worker
        # is killed after the PACS has read the request, the supervisor knows of an association that may exist.
        self.forwarded = True
        self.account.forwarded(accept)
        station.journal.opened(record)
        upstream.send(forwarded)
        answer = await read_answer(self, upstream)
        self._within(None)
        # No other server is tried, whatever the answer: this one has read the request and may have acted on it.
        if isinstance(answer, UpstreamRefused):
            raise self._guard.refusal(answer, accept.upstream, record.server, forwarded)
        station.servers.accepted(station.config.upstreams[accept.upstream], record.server)
        return answer

    def _relay_from_here(self, upstream: Leg, accept: Accept, asked: Asked, answer: Accepted) -> None:
        """Answer the requestor and hand both legs to the relay."""
        station, leg = self._station, self._requestor
        pdu, accepted_contexts = answer_to_requestor(answer, asked, accept)
        # Built before the answer is sent: if it cannot be built, the requestor gets a refusal and not both.
        agreed = Agreed(asked, accept, answer, accepted_contexts)
        established = Established(station, self.listener, self.account, leg, upstream, agreed, self._closed)
        leg.send(pdu)  # before the bookkeeping: the sender waits for it
        self.account.accepted(asked.facts.request, answer.parsed, accept.keep_contexts)
        station.journal.accepted(self.account.record)
        buffered = b"" if self._early is None else self._early.buffered
        self._early = None
        station.counts.associated(self.claim)
        self.established = established
        self._owner.established(established)
        # `start` may end the association at once: the upstream may have sent an A-ABORT right after its answer.
        established.start(buffered, answer.trailing)
        self._owner.relayed(established)  # which decides again if a reload came meanwhile

    def proxy_header(self, version: int) -> bytes:
        """Return the PROXY header that names the requestor to an upstream."""
        record = self.account.record
        destination = self._destination or endpoint(self._requestor.socket.getsockname())
        return encode_proxy_header(version, (self._address, record.client_port or 0), destination)
