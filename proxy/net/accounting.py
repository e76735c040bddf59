"""The access record of one association and its share of the metrics, from accept to close."""

import itertools
import os
import ssl
import time

from proxy.config.values import Listener, Server, Upstream, UpstreamTls
from proxy.dimse.inspection import RefusedCommand
from proxy.net.association_end import AssociationEnd, Side
from proxy.net.operations import reason_of
from proxy.net.refused import Refused
from proxy.net.station import Station
from proxy.observe.access import AccessRecord, refused_contexts
from proxy.observe.families import NO_TENANT
from proxy.pdu import CALLED_AE_TITLE, CALLING_AE_TITLE, AAssociateAC, AAssociateRQ
from proxy.pdu.proxy_header import ProxyHeader
from proxy.policy import Accept, Address, Decision, NeedsIdentity, Reason, Refuse, VerifiedCertificate
from proxy.policy.names import lookup
from proxy.policy.reasons import Stage
from proxy.tls.hello import ClientHello

_PROXY_HEADERS = {
    Reason.PROXY_HEADER_MISSING: "missing",
    Reason.PROXY_HEADER_MALFORMED: "malformed",
    Reason.PROXY_HEADER_UNTRUSTED: "untrusted",
}
_MOST_REFUSED_OPERATIONS = 16  # in one record, so that a peer cannot make it grow; the metrics count all
_serial = itertools.count(1)
_RUN = os.urandom(4).hex()  # distinguishes the ids of this process from those of other processes and restarts


def new_id() -> str:
    """Return an id for a connection, unique over processes and restarts."""
    return f"{_RUN}-{next(_serial):x}"


class Account:
    """The access record and the metrics of one association."""

    __slots__ = (
        "_interval_began",
        "_listener",
        "_phase",
        "_server",
        "_station",
        "asked",
        "record",
        "started",
        "tenant",
    )

    def __init__(self, station: Station, listener: Listener, address: Address, port: int) -> None:
        self._station = station
        self._listener = listener
        # The interval that is measured next begins at accept, ClientHello, end of TLS or A-ASSOCIATE-AC.
        self.started = self._interval_began = time.monotonic()
        self.asked = False  # a complete A-ASSOCIATE-RQ was read
        self._phase: str | None = None
        self.tenant = NO_TENANT  # label in metrics
        self._server: tuple[str, str] | None = None  # labels in metrics: upstream, server
        self.record = AccessRecord(new_id(), time.time(), listener.name)
        self.record.client_ip = address
        self.record.client_port = port
        station.metrics.add("connections_total", (listener.name,))

    def phase(self, phase: str | None) -> None:
        """Count the connection under the phase that begins now; None: it is closed."""
        active = self._station.metrics
        if self._phase is not None:
            active.add("connections_active", (self.record.listener, self._phase), -1)
            self._phase = None  # before `add`, which may find no memory: one phase must not be subtracted twice
        if phase is not None:
            active.add("connections_active", (self.record.listener, phase))
            self._phase = phase

    def located(self, header: ProxyHeader) -> None:
        """Record a PROXY header. Its source is None if the load balancer speaks for itself."""
        record = self.record
        self._station.metrics.add("proxy_protocol_headers_total", (record.listener, "ok"))
        if header.source is not None:
            # `client_ip` is the requestor from here on; the address of the load balancer moves to `client_proxy`.
            record.client_proxy, record.client_via = record.client_ip, "proxy_header"
            record.client_ip, record.client_port = header.source

    def hello(self, hello: ClientHello) -> None:
        """Record the server name of a ClientHello, and the tenant that it names."""
        self._interval_began = time.monotonic()
        self.record.sni = hello.server_name
        found = lookup(self._listener.policy, hello.server_name)
        self._station.metrics.add("sni_lookups_total", (self.record.listener, str(found.result)))
        if found.entrance is not None:
            self._choose(found.entrance.tenant.name)

    def secured(self, tls: ssl.SSLObject, certificate: VerifiedCertificate | None) -> None:
        """Record the completed TLS handshake of the requestor."""
        now = time.monotonic()
        record = self.record
        cipher = tls.cipher()
        record.tls_version = tls.version()
        record.tls_cipher = cipher[0] if cipher else None
        record.certificate = certificate
        given = "none" if certificate is None else "given"
        self._count_handshake("server", record.tls_version, record.tls_cipher, tls, given)
        took, self._interval_began = now - self._interval_began, now
        self._station.metrics.observe("tls_handshake_duration_seconds", (record.listener, "server"), took)

    def requested(self, pdu: bytes) -> None:
        """Record the AE titles of a complete A-ASSOCIATE-RQ, before it is parsed."""
        # If the parser refuses the request, an administrator still looks for its titles in the log. Latin-1 decodes any
        # byte, so this cannot fail; the log escapes the text.
        self.asked = True
        self.record.called_aet = pdu[CALLED_AE_TITLE].decode("latin-1").strip(" ")
        self.record.calling_aet = pdu[CALLING_AE_TITLE].decode("latin-1").strip(" ")

    def request(self, request: AAssociateRQ) -> None:
        """Record a parsed A-ASSOCIATE-RQ."""
        information = request.user_information
        record = self.record
        record.calling_aet = request.calling.title
        record.called_aet = request.called.title
        record.implementation_class_uid = information.implementation_class_uid
        record.implementation_version_name = information.implementation_version_name
        record.max_pdu = information.maximum_length
        record.contexts_proposed = len(request.presentation_contexts)
        if information.user_identity is not None:
            record.user_type = information.user_identity.identity_type

    def decision(self, decision: Decision) -> None:
        """Record and count a decision of the policy."""
        record = self.record
        if self._station.config.log.level == "debug":
            record.trace = decision.trace
        if decision.tenant is not None:
            self._choose(decision.tenant.name)
        if isinstance(decision, NeedsIdentity):
            return  # the policy has neither accepted nor refused yet
        record.peer = decision.peer.name if decision.peer is not None else None
        if isinstance(decision, Refuse):
            record.rule = record.peer or str(decision.reason)
            self._count_decision(record.rule, "refuse")
            return
        self._accepted_by_policy(decision)

    def _accepted_by_policy(self, accept: Accept) -> None:
        record = self.record
        record.rule = record.peer
        record.would_refuse = accept.would_refuse
        kept = accept.keep_contexts
        record.contexts_kept = (record.contexts_proposed or 0) if kept is None else len(kept)
        record.upstream = accept.upstream
        for reason in accept.would_refuse:
            self._count_decision(str(reason), "would_refuse")
        if record.peer is not None:
            self._count_decision(record.peer, "accept")

    def _count_decision(self, rule: str, decision: str) -> None:
        self._station.metrics.add("policy_decisions_total", (self.tenant, rule, decision))

    def _choose(self, tenant: str) -> None:
        self.tenant = self.record.tenant = tenant

    def dialling(self, upstream: Upstream, server: Server) -> None:
        """Record the server that is dialled next."""
        self._server = (upstream.name, server.label)
        self.record.server = server.label

    def dialled(self, result: str) -> None:
        """Count an attempt to connect: ok, refused, timeout, dns, tls, loop or error."""
        assert self._server is not None
        self._station.metrics.add("upstream_connect_attempts_total", (*self._server, result))
        if result == "tls":
            self._upstream_tls_failed()

    def connected(self, seconds: float) -> None:
        """Count an attempt that succeeded after `seconds`, TLS included."""
        self.dialled("ok")
        assert self._server is not None
        self.record.upstream_setup_s = seconds
        self._station.metrics.observe("upstream_connect_duration_seconds", self._server, seconds)

    def upstream_secured(self, tls: ssl.SSLObject, settings: UpstreamTls, seconds: float) -> None:
        """Record the completed TLS handshake with the upstream, which took `seconds`."""
        record = self.record
        cipher = tls.cipher()
        record.upstream_tls = version, suite = tls.version() or "", cipher[0] if cipher else ""
        given = "none" if settings.certificate is None else "given"
        self._count_handshake("client", version, suite, tls, given)
        self._station.metrics.observe("tls_handshake_duration_seconds", (record.listener, "client"), seconds)

    def forwarded(self, accept: Accept) -> None:
        """Record that the request goes to the upstream, under the AE titles of the decision."""
        record = self.record
        # The supervisor keeps this record. If the worker is killed, it completes the duration and writes the record.
        record.duration_s = time.monotonic() - self.started
        record.forwarded_calling_aet = accept.calling_ae_title or record.calling_aet
        record.forwarded_called_aet = accept.called_ae_title or record.called_aet

    def _upstream_tls_failed(self) -> None:
        labels = (self.record.listener, "client", str(Reason.UPSTREAM_TLS_FAILED))
        self._station.metrics.add("tls_handshake_failures_total", labels)

    def _count_handshake(
        self, role: str, version: str | None, cipher: str | None, tls: ssl.SSLObject, certificate: str
    ) -> None:
        resumed = "yes" if tls.session_reused else "no"
        labels = (self.record.listener, role, version or "", cipher or "", resumed, certificate)
        self._station.metrics.add("tls_handshakes_total", labels)

    def accepted(self, request: AAssociateRQ, answer: AAssociateAC, kept: frozenset[int] | None) -> None:
        """Record that the upstream accepted. `kept` are the ids of the contexts that it was offered, None: all."""
        assert self._server is not None
        record = self.record
        metrics = self._station.metrics
        now = time.monotonic()
        record.decision = "accepted"
        record.contexts_accepted = sum(not context.result for context in answer.presentation_contexts)
        record.contexts_refused = refused_contexts(request.presentation_contexts, kept, answer.presentation_contexts)
        self.phase("associated")
        metrics.add("associations_total", (record.listener, self.tenant, "accepted"))
        metrics.add("associations_active", (self.tenant,))
        metrics.add("upstream_associations_active", self._server)
        metrics.observe("association_setup_duration_seconds", (self.tenant,), now - self._interval_began)
        self._interval_began = now

    def paused(self, side: Side) -> None:
        """Count that `side` is not read for a while, because the other side is slower."""
        self._station.metrics.add("backpressure_pauses_total", (self.tenant, side.label))

    def operation_refused(self, refused: RefusedCommand) -> None:
        """Record a refused DIMSE request, each kind once."""
        record = self.record
        if refused.detail in record.refused_operations or len(record.refused_operations) == _MOST_REFUSED_OPERATIONS:
            return
        record.refused_operations += (refused.detail,)
        self._station.records.operation_refused(record, reason_of(refused.status), refused.detail)

    def operation_observed(self, refused: RefusedCommand) -> None:
        """Record a DIMSE request that passed only because the tenant is observed (`observe_until`)."""
        record = self.record
        reason = reason_of(refused.status)
        if reason not in record.would_refuse:
            record.would_refuse = (*record.would_refuse, reason)
        listed = record.observed_operations
        if refused.detail not in listed and len(listed) < _MOST_REFUSED_OPERATIONS:
            record.observed_operations = (*listed, refused.detail)

    def refused(self, refused: Refused) -> None:
        """Record that the connection ended before an association was established."""
        record = self.record
        metrics = self._station.metrics
        reason = refused.reason or Reason.REQUESTOR_GONE
        record.reason = reason
        record.detail = refused.detail
        record.answer = refused.answer
        record.ended = refused.ended
        record.decision = "failed" if reason.failure else "refused"
        if reason.stage is Stage.PDU:
            metrics.add("pdu_errors_total", (self.tenant, Side.REQUESTOR.label, str(reason)))
        if reason is Reason.UPSTREAM_TLS_FAILED and record.upstream_tls is not None:
            # TLS 1.3: the server refused our certificate after our side of the handshake was done, so `dialled` has
            # counted a success.
            self._upstream_tls_failed()
        if reason in _PROXY_HEADERS:
            metrics.add("proxy_protocol_headers_total", (record.listener, _PROXY_HEADERS[reason]))
        # The last stage that was reached decides the metric: a refused association, a failed handshake or a rejected
        # connection.
        if self.asked:
            metrics.add("associations_total", (record.listener, self.tenant, record.decision))
            metrics.add("association_refusals_total", (self.tenant, str(reason)))
            if record.answer is not None:
                took = time.monotonic() - self._interval_began
                metrics.observe("association_setup_duration_seconds", (self.tenant,), took)
        elif reason.stage is Stage.TLS:
            metrics.add("tls_handshake_failures_total", (record.listener, "server", str(reason)))
        else:
            metrics.add("connections_rejected_total", (record.listener, str(reason)))
        # A load balancer checks by connecting and leaving every few seconds: that is no refusal, and gets no record.
        if reason is not Reason.PROBE_DISCONNECT:
            self._write()

    def ended(self, end: AssociationEnd) -> None:
        """Record that the association has ended."""
        assert self._server is not None
        record = self.record
        metrics = self._station.metrics
        record.ended = end.ended
        record.reason = end.reason
        record.detail = end.describe() or None
        metrics.add("associations_active", (self.tenant,), -1)
        metrics.add("upstream_associations_active", self._server, -1)
        metrics.add("associations_ended_total", (self.tenant, str(end.ended)))
        took = time.monotonic() - self._interval_began
        metrics.observe("association_duration_seconds", (self.tenant,), took)
        if end.reason is not None and end.reason.stage is Stage.PDU and end.side is not None:
            metrics.add("pdu_errors_total", (self.tenant, end.side.label, str(end.reason)))
        self._write()

    def _write(self) -> None:
        self.record.duration_s = time.monotonic() - self.started
        self._station.records.write(self.record)
