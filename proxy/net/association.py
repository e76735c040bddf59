"""One association from accept to close: the stages in their order, the refusal, the hand-over to the relay."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from proxy.config.values import Listener, ProxyProtocol
from proxy.dimse.inspection import RefusedCommand
from proxy.net.accounting import Account, AssociationStatus
from proxy.net.dial import dial
from proxy.net.early import EarlyWatch
from proxy.net.leg import Leg
from proxy.net.linger import linger
from proxy.net.loops import request_key
from proxy.net.operations import inspection_of, is_asynchronous, narrow, stored
from proxy.net.proxied import admit_address, endpoint, read_proxy_header
from proxy.net.recheck import Asked, decide_again
from proxy.net.refused import Refused, UpstreamRefused, say
from proxy.net.relay import Relay
from proxy.net.stages import (
    admit_entrance,
    answer_to_requestor,
    read_client_hello,
    read_request,
    tls_handshake,
    understand_request,
)
from proxy.net.walker import Walker
from proxy.pdu import AAssociateAC, AAssociateRQ, PresentationContextResult, edit_associate_rq, encode_abort
from proxy.pdu.proxy_header import Endpoint, encode_proxy_header
from proxy.policy import (
    Accept,
    Address,
    Certificate,
    Ended,
    Entrance,
    Facts,
    NeedsIdentity,
    Reason,
    Refuse,
    Tenant,
    judge,
)
from proxy.shared.counts import Claim
from proxy.tls.contexts import ListenerTls

if TYPE_CHECKING:
    from proxy.net.worker import Worker

_BUG = "an association failed on a bug of the gateway"
# Closed without waiting for the peer: who may not be here cannot keep a connection by not closing it.
_AT_ONCE = frozenset({Reason.ADDRESS_DENIED, Reason.ADDRESS_LIMIT, Reason.CONNECTION_LIMIT})

# Bytes of a request that takes long to read, and to decide: 256 KiB of transfer syntaxes take a third of a second, and
# whoever sends sixty of them need not be known.
_LARGE = 32 * 1024


class Association(Walker):
    """A connection of a requestor and, once the policy said yes, the connection to its upstream."""

    __slots__ = (
        "_accepted",
        "_asked",
        "_destination",
        "_early",
        "_relay",
        "_requestor",
        "_tenant",
        "_upstream",
        "_worker",
        "account",
        "address",
        "claim",
        "forwarded",
        "listener",
    )

    def __init__(
        self,
        worker: "Worker",
        listener: Listener,
        sock: socket.socket,
        address: Address,
        port: int,
        claim: Claim,
    ) -> None:
        super().__init__(worker.loop)
        self._worker = worker
        self.listener = listener
        self.address = address
        self._destination: Endpoint | None = None  # where a PROXY header says that the requestor connected to
        self.claim = claim
        self.account = Account(worker, listener, address, port)
        self._tenant: Tenant | None = None  # of the decision, once that was yes
        self._early: EarlyWatch | None = None
        self.forwarded = False
        # For the day when the policy changes.
        self._asked: Asked | None = None
        self._accepted: tuple[PresentationContextResult, ...] = ()
        self._relay: Relay | None = None
        self._upstream: Leg | None = None
        self._requestor = Leg(sock, worker.poller, self)
        self._start(self._run())

    # --- the stages -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            self._set_out()
            await self._walk()
            return
        except Refused as refused:
            refusal = refused.with_traceback(None)  # its frames hold this association
        except asyncio.CancelledError:
            if self._interruption is None:
                self.drop()
                raise
            refusal = self._interruption
        # One association's bug is its own end and nobody else's; it is logged, counted as `internal` and answered.
        except Exception as error:  # noqa: BLE001
            if self._relay is not None:
                self._relay.crashed(self._requestor, error)
                return
            self._worker.report_bug(_BUG, error)
            refusal = Refused(Reason.INTERNAL, type(error).__name__)
        finally:
            self._task = None
        with self.guarded():
            self._refuse(refusal)

    async def _walk(self) -> None:
        timeouts = self._worker.config.timeouts
        leg = self._requestor
        entrance: Entrance | None = None
        certificate: Certificate | None = None
        sni: str | None = None
        received = (
            b"" if self.listener.proxy_protocol is None else await self._locate(leg, self.listener.proxy_protocol)
        )
        if self.listener.tls is not None:
            entrance, certificate, sni = await self._secure(leg, received)
            received = b""  # TLS has it
        self.account.phase("waiting_associate")
        self._within(timeouts.artim, Reason.ARTIM_EXPIRED, "no complete A-ASSOCIATE-RQ came in time")
        pdu = await read_request(self, leg, self._worker.config.limits.associate_rq, received)
        self.account.requested(pdu)
        if len(pdu) > _LARGE:
            await self._worker.turn()
        request = understand_request(pdu)
        self.account.request(request)
        if self._worker.draining:
            raise Refused(Reason.DRAINING, "the gateway is about to stop")
        self._asked = Asked(self.address, pdu, sni)
        self.claim.request = request_key(pdu)
        accept = self._decide(Facts(self.address, request, time.time(), sni, certificate), entrance)
        self._worker.loops.recognise(request)
        forwarded = edit_associate_rq(
            pdu,
            request,
            called=accept.called_ae_title,
            calling=accept.calling_ae_title,
            keep_contexts=accept.keep_contexts,
            transfer_syntaxes=accept.transfer_syntaxes,
            scp_roles=accept.scp_roles,
            strip_user_identity=accept.strip_user_identity,
        )
        self._early = EarlyWatch()
        upstream_configuration = self._worker.config.upstreams[accept.upstream]
        text = f"upstream {accept.upstream}: no connection in {timeouts.upstream_connect:g} s"
        self._within(timeouts.upstream_connect, Reason.UPSTREAM_UNAVAILABLE, text)
        try:
            self._upstream = upstream = await dial(self, self._worker, upstream_configuration, self.account, forwarded)
        except asyncio.CancelledError:
            late = self._interruption is not None and self._interruption.reason is Reason.UPSTREAM_UNAVAILABLE
            servers = self._worker.servers
            (servers.failed if late else servers.abandoned)(upstream_configuration, self.claim)
            spent_on = self.account.dialled_too_long() if late else None
            if spent_on == "tls":
                text = f"upstream {accept.upstream}: the TLS handshake did not end in {timeouts.upstream_connect:g} s"
                self._interruption = Refused(Reason.UPSTREAM_TLS_FAILED, text)
            elif spent_on == "dns":
                server = self.account.record.server
                text = f"upstream {accept.upstream}: {server}: no answer of the name service"
                text += f" in {timeouts.upstream_connect:g} s"
                self._interruption = Refused(Reason.UPSTREAM_UNAVAILABLE, text)
            raise
        self._within(
            timeouts.upstream_accept, Reason.UPSTREAM_TIMEOUT, "the upstream did not answer the request in time"
        )
        self.forwarded = True
        self.account.forwarded(accept)
        self._worker.journal.opened(self.account.record)
        upstream.send(forwarded)
        answer, answered, behind = await self._worker.loops.read_answer(
            self, upstream, accept.upstream, self.account.record.server, forwarded
        )
        self._within(None)
        self._worker.servers.accepted(upstream_configuration, self.account.record.server)
        answer, accepted = answer_to_requestor(answer, answered, request, pdu, accept)
        leg.send(answer)
        self.account.accepted(request, answered, accept.keep_contexts)
        self._worker.journal.accepted(self.account.record)
        self._start_relay(accept, request, answered, accepted, behind)

    async def _locate(self, leg: Leg, protocol: ProxyProtocol) -> bytes:
        """PROXY header: from here on the requestor is who it says. What was read behind it."""
        timeouts = self._worker.config.timeouts
        self.account.phase("proxy_header")
        self._within(timeouts.proxy_header, Reason.PROXY_HEADER_TIMEOUT, "no complete PROXY header came in time")
        peer = (self.address, self.account.record.client_port or 0)
        header, received = await read_proxy_header(self, leg, protocol, peer)
        self.account.located(header)
        if header.source is not None:
            self.address, self._destination = header.source[0], header.destination
            full = self._worker.counts.attribute(self.claim, self.address)
            if full is not None:
                raise Refused(*full)
        self._within(timeouts.client_hello, Reason.CLIENT_HELLO_TIMEOUT, "nothing came behind the PROXY header")
        return await admit_address(self, leg, self.listener, self.address, header, received)

    async def _secure(self, leg: Leg, received: bytes) -> tuple[Entrance | None, Certificate | None, str | None]:
        """ClientHello, tenant by SNI, TLS handshake under that tenant's own context."""
        timeouts = self._worker.config.timeouts
        self.account.phase("tls_handshake")
        self._within(timeouts.client_hello, Reason.CLIENT_HELLO_TIMEOUT, "no complete ClientHello came in time")
        hello, received = await read_client_hello(self, leg, received)
        self.account.hello(hello)
        entrance = admit_entrance(self.listener.policy, hello.server_name)
        self._within(timeouts.tls_handshake, Reason.TLS_TIMEOUT, "the TLS handshake did not end in time")
        tls = self._worker.tls[self.listener.name]
        context = tls.default if entrance is None else tls.tenant(entrance.tenant.name)
        endpoint = await tls_handshake(self, leg, context, hello, received)
        leg.tls = endpoint
        certificate = context.client_certificate(endpoint.object, time.time())
        self.account.secured(endpoint.object, certificate)
        return entrance, certificate, hello.server_name

    def _decide(self, facts: Facts, entrance: Entrance | None) -> Accept:
        decision = judge(self.listener.policy, entrance, facts)
        self.account.decision(decision)
        if isinstance(decision, Refuse):
            raise Refused(decision.reason, decision.detail, decision.answer)
        if isinstance(decision, NeedsIdentity):
            raise Refused(Reason.IDENTITY_UNAVAILABLE, "no identity provider can be asked")
        full = self._worker.counts.acquire(self.claim, decision.tenant, decision.peer)
        if full is not None:
            raise Refused(Reason.ASSOCIATION_LIMIT, full)
        self._tenant = decision.tenant
        return decision

    def _start_relay(
        self, accept: Accept, request: AAssociateRQ, answer: AAssociateAC, accepted: frozenset[int], behind: bytes
    ) -> None:
        worker = self._worker
        assert self._upstream is not None
        heard = b"" if self._early is None else self._early.heard
        self._early = None
        worker.counts.associated(self.claim)
        self._accepted = answer.presentation_contexts
        self._relay = Relay(
            self,
            self._requestor,
            self._upstream,
            accepted,
            inspection_of(accept, request, answer, accepted, self.account.operation_observed),
            longest_to_requestor=request.user_information.maximum_length or 0,
            longest_to_upstream=answer.user_information.maximum_length or 0,
            asynchronous=is_asynchronous(answer.user_information.asynchronous_operations_window),
            loop=worker.loop,
            close_timeout=worker.config.timeouts.close,
            unacknowledged=worker.config.timeouts.unacknowledged,
        )
        worker.established(self)
        self._relay.start(heard, behind)
        worker.relayed(self)

    def proxy_header(self, version: int) -> bytes:
        """The PROXY header that tells an upstream of the requestor."""
        record = self.account.record
        destination = self._destination or endpoint(self._requestor.socket.getsockname())
        return encode_proxy_header(version, (self.address, record.client_port or 0), destination)

    # --- LegOwner, until the relay takes the legs ---------------------------------------------------------------------

    def readable(self, leg: Leg) -> None:
        """Wake the stage that waits for this leg; or watch the requestor."""
        if leg is self._requestor and self._early is not None:
            refused = self._early.listen(leg)
            if refused is not None:
                leg.set_reading(False)
                self._interrupt(refused)
        else:
            self._wake(leg)

    def drained(self, leg: Leg) -> None:
        """A connect came to its end."""
        self._wake(leg)

    def broken(self, leg: Leg) -> None:
        """A leg that nobody reads broke."""
        self.drained(leg)

    def crashed(self, leg: Leg, error: Exception) -> None:
        """A bug in a callback: it ends this association alone."""
        if self._relay is not None:
            self._relay.crashed(leg, error)
            return
        # First what frees, then what takes: it may be memory that is missing.
        if self._task is not None:
            self._interrupt(Refused(Reason.INTERNAL, type(error).__name__))
        else:
            self.drop()
        self._worker.report_bug(_BUG, error)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """For whoever calls this association among others: what goes wrong in it stays in it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self.crashed(self._requestor, error)

    # --- refusing and ending ------------------------------------------------------------------------------------------

    def _refuse(self, refused: Refused) -> None:
        """Answer, account, and close without losing the answer to a RST."""
        self._within(None)
        self._early = None
        leg = self._requestor
        refused.limit_to(
            requested=self.account.asked, spoken=leg.tls is not None, encrypted=self.listener.tls is not None
        )
        self.account.phase("closing")
        self.account.refused(refused)
        self._worker.counts.release(self.claim)
        if self._upstream is not None:
            self._leave_upstream(self._upstream, abort=not isinstance(refused, UpstreamRefused))
        if refused.reason in _AT_ONCE:
            leg.close()
            self._closed()
            return
        say(leg, refused)
        self._linger(leg)

    def _leave_upstream(self, leg: Leg, *, abort: bool) -> None:
        if abort and self.forwarded and not leg.eof:
            leg.send(encode_abort(2, 0))
        self._linger(leg)

    def _linger(self, leg: Leg) -> None:
        # Not `unacknowledged`: who was refused cannot keep a connection by withholding acknowledgements.
        linger(leg, self._worker.loop, self._worker.config.timeouts.close, 0, self._leg_closed)

    def _leg_closed(self) -> None:
        """One of the connections is closed. It counts as long as the other one takes a descriptor."""
        if self._requestor.closed and (self._upstream is None or self._upstream.closed):
            self._closed()

    def end(self, ended: Ended, reason: Reason | None, detail: str, *, at_once: bool = False) -> None:
        """End it from outside: a limit, a drain, a new policy, an operator."""
        if self._relay is not None:
            (self._relay.abort_now if at_once else self._relay.abort)(ended, reason, detail)
        else:
            self._interrupt(Refused(reason or Reason.DRAINING, detail))

    def decide_again(self, listener: Listener | None, tls: ListenerTls | None) -> str | None:
        """Why this established association would be refused under a new configuration. None: it would not, and what
        it asks for from now on is judged by that configuration.
        """
        assert self._asked is not None
        assert self._relay is not None
        endpoint = self._requestor.tls
        decision = decide_again(self._asked, None if endpoint is None else endpoint.object, listener, tls)
        if isinstance(decision, str):
            return decision
        if isinstance(decision, Accept):
            narrow(self._relay.inspection, decision, self._accepted, self.account.record.calling_aet or "")
        return None

    @property
    def ending(self) -> bool:
        """Whether it is over but for the closing of its connections."""
        return self._relay is not None and self._relay.ending

    def status(self) -> AssociationStatus:
        """How far it is."""
        age = time.monotonic() - self.account.started
        return AssociationStatus(
            self.account.record.id, age, self._requestor.received, self._requestor.sent, stored(self.account.record)
        )

    def tick(self, now: float) -> None:
        """Called once a second for established associations: metrics are flushed, and silence is noticed."""
        relay = self._relay
        assert relay is not None
        assert self._upstream is not None
        assert self._tenant is not None
        idle_limit = self._tenant.idle
        if idle_limit is None:
            idle_limit = self._worker.config.timeouts.idle
        if self.account.flush(self._requestor, self._upstream, relay):
            self.account.active_at = now
        elif now - self.account.active_at >= idle_limit:
            relay.abort(Ended.TIMEOUT, None, f"no byte for {idle_limit:g} s")

    # --- RelayOwner ---------------------------------------------------------------------------------------------------

    def relay_paused(self, side: str) -> None:
        """Back-pressure: counted."""
        self.account.paused(side)

    def relay_refused(self, refused: RefusedCommand) -> None:
        """A DIMSE request was swallowed: counted, and logged where it is the first of its kind."""
        self.account.operation_refused(refused)

    def relay_ended(self, ended: Ended, reason: Reason | None, detail: str) -> None:
        """Both legs are closed: the access record is written."""
        assert self._relay is not None
        assert self._upstream is not None
        self.account.flush(self._requestor, self._upstream, self._relay)
        self.account.ended(ended, reason, detail)
        self._closed()

    def _closed(self) -> None:
        """Both connections are closed; only the first call does anything."""
        self.account.phase(None)
        self._worker.forget(self)
        self._relay = self._upstream = None  # each refers to the other

    def drop(self) -> None:
        """Close both connections now, without a word: the worker ends, or the answer itself failed."""
        self._within(None)
        if self._relay is not None:
            self._relay.drop()
            return
        self._requestor.close(reset=True)
        if self._upstream is not None:
            self._upstream.close(reset=True)
        self._closed()
