"""What one association leaves behind: its access record, and its share of the metrics.

Byte and PDU counts are plain integers on the legs and walks; they are added to the metrics once a second and at the
end, never per chunk.
"""

import itertools
import os
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config.values import Listener, Server, Upstream, UpstreamTls
from proxy.dimse.inspection import RefusedCommand
from proxy.net.leg import Leg
from proxy.net.operations import count_operations, reason_of
from proxy.net.refused import Refused
from proxy.observe.access import AccessRecord, refused_contexts
from proxy.observe.families import NO_TENANT
from proxy.pdu import CALLED_AE_TITLE, CALLING_AE_TITLE, AAssociateAC, AAssociateRQ, PduType
from proxy.pdu.proxy_header import ProxyHeader
from proxy.policy import Accept, Address, Certificate, Decision, Ended, NeedsIdentity, Reason, Refuse
from proxy.policy.names import lookup
from proxy.tls.hello import ClientHello

if TYPE_CHECKING:
    from proxy.net.relay import Relay
    from proxy.net.worker import Worker

_RELAYED = tuple(
    (pdu_type, pdu_type.name.lower())
    for pdu_type in (PduType.P_DATA_TF, PduType.A_RELEASE_RQ, PduType.A_RELEASE_RP, PduType.A_ABORT)
)
_TLS_FAILURES = frozenset(
    r for r in Reason if r.value.startswith(("tls_", "sni_", "client_certificate_")) and r is not Reason.TLS_ON_PLAIN
) - {Reason.SNI_REQUIRED}
_PDU_ERRORS = {Reason.PDU_INVALID, Reason.PDU_UNEXPECTED, Reason.REQUEST_TOO_LARGE}
_PROXY_HEADERS = {
    Reason.PROXY_HEADER_MISSING: "missing",
    Reason.PROXY_HEADER_MALFORMED: "malformed",
    Reason.PROXY_HEADER_UNTRUSTED: "untrusted",
}
_GONE = {Reason.REQUESTOR_GONE, Reason.TLS_TRUNCATED, Reason.INTERNAL}
_MOST_REFUSED_OPERATIONS = 16  # in words; they are counted without an end
_serial = itertools.count(1)
_RUN = os.urandom(4).hex()  # tells the ids of this process from those of others


def new_id() -> str:
    """An id for a connection, unique over processes and restarts."""
    return f"{_RUN}-{next(_serial):x}"


@dataclass(frozen=True, slots=True)
class AssociationStatus:
    """One established association, for `status` and `top`. Sizes in bytes, `age` in seconds."""

    id: str
    age: float
    bytes_in: int
    bytes_out: int
    stored: int  # C-STORE requests


class Account:
    """The access record and the metrics of one association."""

    __slots__ = (
        "_dial_started",
        "_flushed",
        "_phase",
        "_resolving",
        "_secured",
        "_securing_since",
        "_server",
        "_tenant",
        "_worker",
        "active_at",
        "asked",
        "record",
        "started",
    )

    def __init__(self, worker: "Worker", listener: Listener, address: Address, port: int) -> None:
        self._worker = worker
        self.started = self._secured = self.active_at = time.monotonic()
        self.asked = False  # a complete A-ASSOCIATE-RQ was read
        self._phase: str | None = None
        self._tenant = NO_TENANT
        self._server: tuple[str, str] | None = None
        self._dial_started = 0.0
        self._resolving = False
        self._securing_since: float | None = None
        self._flushed = [0] * 12
        self.record = AccessRecord(new_id(), time.time(), listener.name)
        self.record.client_ip = address
        self.record.client_port = port
        worker.metrics.add("connections_total", (listener.name,))

    def phase(self, phase: str | None) -> None:
        """What the connection waits for now; None: it is closed."""
        active = self._worker.metrics
        if self._phase is not None:
            active.add("connections_active", (self.record.listener, self._phase), -1)
            self._phase = None  # now: where memory runs out in the next line, it must not be subtracted again
        if phase is not None:
            active.add("connections_active", (self.record.listener, phase))
            self._phase = phase

    def located(self, header: ProxyHeader) -> None:
        """The PROXY header was read. It may say nothing about the requestor."""
        record = self.record
        self._worker.metrics.add("proxy_protocol_headers_total", (record.listener, "ok"))
        if header.source is not None:
            record.client_proxy, record.client_via = record.client_ip, "proxy_header"
            record.client_ip, record.client_port = header.source

    def hello(self, hello: ClientHello) -> None:
        """The ClientHello was read."""
        self._secured = time.monotonic()
        self.record.sni = hello.server_name
        found = lookup(self._worker.listeners[self.record.listener].policy, hello.server_name)
        self._worker.metrics.add("sni_lookups_total", (self.record.listener, str(found.result)))
        if found.entrance is not None:
            self._choose(found.entrance.tenant.name)

    def secured(self, tls: ssl.SSLObject, certificate: Certificate | None) -> None:
        """The TLS handshake is complete."""
        now = time.monotonic()
        record = self.record
        cipher = tls.cipher()
        record.tls_version = tls.version()
        record.tls_cipher = cipher[0] if cipher else None
        record.certificate = certificate
        given = "none" if certificate is None else "given"
        self._count_handshake("server", record.tls_version, record.tls_cipher, tls, given)
        self._worker.metrics.observe("tls_handshake_duration_seconds", (record.listener, "server"), now - self._secured)
        self._secured = now

    def requested(self, pdu: bytes) -> None:
        """A complete A-ASSOCIATE-RQ came; its titles are recorded as they are, whatever it turns out to be worth."""
        self.asked = True
        self.record.called_aet = pdu[CALLED_AE_TITLE].decode("latin-1").strip(" ")
        self.record.calling_aet = pdu[CALLING_AE_TITLE].decode("latin-1").strip(" ")

    def request(self, request: AAssociateRQ) -> None:
        """The A-ASSOCIATE-RQ was understood."""
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
        """The policy has spoken."""
        record = self.record
        if self._worker.debug:
            record.trace = decision.trace
        if decision.tenant is not None:
            self._choose(decision.tenant.name)
        if isinstance(decision, NeedsIdentity):
            return
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
        self._worker.metrics.add("policy_decisions_total", (self._tenant, rule, decision))

    def _choose(self, tenant: str) -> None:
        self._tenant = self.record.tenant = tenant

    def server(self, upstream: Upstream, server: Server) -> None:
        """A server of the upstream is about to be dialled."""
        self._server = (upstream.name, server.label)
        self.record.server = self._server[1]
        self._dial_started = time.monotonic()
        self._resolving = True

    def resolved(self) -> None:
        """The addresses of the server are known."""
        self._resolving = False

    def forwarded(self, accept: Accept) -> None:
        """The request goes to the upstream."""
        record = self.record
        record.duration_s = time.monotonic() - self.started
        record.forwarded_calling_aet = accept.calling_ae_title or record.calling_aet
        record.forwarded_called_aet = accept.called_ae_title or record.called_aet

    def dialled(self, result: str) -> None:
        """How dialling it went: ok, refused, timeout, dns, tls, loop, error."""
        assert self._server is not None
        metrics = self._worker.metrics
        metrics.add("upstream_connect_attempts_total", (*self._server, result))
        self._securing_since = None
        if result == "tls":
            self._upstream_tls_failed()
        if result == "ok":
            took = time.monotonic() - self._dial_started
            self.record.upstream_setup_s = took
            metrics.observe("upstream_connect_duration_seconds", self._server, took)

    def _upstream_tls_failed(self) -> None:
        labels = (self.record.listener, "client", str(Reason.UPSTREAM_TLS_FAILED))
        self._worker.metrics.add("tls_handshake_failures_total", labels)

    def dialled_too_long(self) -> str:
        """There is no time left for this attempt; what it was spent on, as `dialled` takes it: dns, timeout or tls."""
        result = "tls" if self._securing_since is not None else "dns" if self._resolving else "timeout"
        self.dialled(result)
        return result

    def securing(self) -> None:
        """The TLS handshake with the server begins."""
        self._securing_since = time.monotonic()

    def upstream_secured(self, tls: ssl.SSLObject, settings: UpstreamTls) -> None:
        """It is complete."""
        assert self._securing_since is not None
        record = self.record
        cipher = tls.cipher()
        record.upstream_tls = version, suite = tls.version() or "", cipher[0] if cipher else ""
        given = "none" if settings.certificate is None else "given"
        self._count_handshake("client", version, suite, tls, given)
        took = time.monotonic() - self._securing_since
        self._worker.metrics.observe("tls_handshake_duration_seconds", (record.listener, "client"), took)

    def _count_handshake(
        self, role: str, version: str | None, cipher: str | None, tls: ssl.SSLObject, certificate: str
    ) -> None:
        resumed = "yes" if tls.session_reused else "no"
        labels = (self.record.listener, role, version or "", cipher or "", resumed, certificate)
        self._worker.metrics.add("tls_handshakes_total", labels)

    def accepted(self, request: AAssociateRQ, answer: AAssociateAC, kept: frozenset[int] | None) -> None:
        """The upstream accepted; `kept` are the contexts that it was shown, None: all."""
        assert self._server is not None
        record = self.record
        metrics = self._worker.metrics
        self.active_at = now = time.monotonic()
        record.decision = "accepted"
        record.contexts_accepted = sum(not context.result for context in answer.presentation_contexts)
        record.contexts_refused = refused_contexts(request.presentation_contexts, kept, answer.presentation_contexts)
        self.phase("associated")
        metrics.add("associations_total", (record.listener, self._tenant, "accepted"))
        metrics.add("associations_active", (self._tenant,))
        metrics.add("upstream_associations_active", self._server)
        metrics.observe("association_setup_duration_seconds", (self._tenant,), now - self._secured)
        self._secured = now

    def flush(self, requestor: Leg, upstream: Leg, relay: "Relay") -> bool:
        """Add what has flowed since the last call to the metrics; whether anything has."""
        to_upstream, to_requestor = relay.to_upstream.pdus, relay.to_requestor.pdus
        counts = [requestor.received, requestor.sent, upstream.received, upstream.sent]
        if counts == self._flushed[:4]:
            return False
        counts += [to_upstream[pdu_type] for pdu_type, _ in _RELAYED]
        counts += [to_requestor[pdu_type] for pdu_type, _ in _RELAYED]
        metrics, tenant, record = self._worker.metrics, self._tenant, self.record
        new = [count - before for count, before in zip(counts, self._flushed, strict=True)]
        metrics.add("received_bytes_total", (tenant, "client"), new[0])
        metrics.add("sent_bytes_total", (tenant, "client"), new[1])
        metrics.add("received_bytes_total", (tenant, "upstream"), new[2])
        metrics.add("sent_bytes_total", (tenant, "upstream"), new[3])
        for index, (_, name) in enumerate(_RELAYED):
            if new[4 + index]:
                metrics.add("pdus_total", (tenant, "in", name), new[4 + index])
            if new[8 + index]:
                metrics.add("pdus_total", (tenant, "out", name), new[8 + index])
        self._flushed = counts
        record.bytes_in, record.bytes_out = requestor.received, requestor.sent
        record.pdus_in, record.pdus_out = sum(to_upstream), sum(to_requestor)
        tally = relay.inspection.take()
        if tally is not None:
            count_operations(tally, metrics, tenant, record)
        return True

    def paused(self, side: str) -> None:
        """A side is not read because the other is slower."""
        self._worker.metrics.add("backpressure_pauses_total", (self._tenant, side))

    def operation_refused(self, refused: RefusedCommand) -> None:
        """A DIMSE request was refused: said once of each."""
        record = self.record
        if refused.detail in record.refused_operations or len(record.refused_operations) == _MOST_REFUSED_OPERATIONS:
            return
        record.refused_operations += (refused.detail,)
        self._worker.report_operation(record, reason_of(refused.status), refused.detail)

    def operation_observed(self, refused: RefusedCommand) -> None:
        """A DIMSE request passed that would have been refused, were the tenant not only observed."""
        record = self.record
        reason = reason_of(refused.status)
        if reason not in record.would_refuse:
            record.would_refuse = (*record.would_refuse, reason)
        said = record.observed_operations
        if refused.detail not in said and len(said) < _MOST_REFUSED_OPERATIONS:
            record.observed_operations = (*said, refused.detail)

    def refused(self, refused: Refused) -> None:
        """It ends without an association."""
        record = self.record
        metrics = self._worker.metrics
        reason = refused.reason or Reason.REQUESTOR_GONE
        record.reason = reason
        record.detail = refused.detail
        record.answer = refused.answer
        record.ended = refused.ended
        record.decision = "failed" if reason in _GONE else "refused"
        if reason in _PDU_ERRORS:
            metrics.add("pdu_errors_total", (self._tenant, "client", str(reason)))
        if reason is Reason.UPSTREAM_TLS_FAILED and record.upstream_tls is not None:
            self._upstream_tls_failed()  # TLS 1.3: refused when our side of the handshake was done
        if reason in _PROXY_HEADERS:
            metrics.add("proxy_protocol_headers_total", (record.listener, _PROXY_HEADERS[reason]))
        if self.asked:
            metrics.add("associations_total", (record.listener, self._tenant, record.decision))
            metrics.add("association_refusals_total", (self._tenant, str(reason)))
            if record.answer is not None:
                took = time.monotonic() - self._secured
                metrics.observe("association_setup_duration_seconds", (self._tenant,), took)
        elif reason in _TLS_FAILURES:
            metrics.add("tls_handshake_failures_total", (record.listener, "server", str(reason)))
        else:
            metrics.add("connections_rejected_total", (record.listener, str(reason)))
        # Load balancers connect and leave: that is neither a refusal nor worth a line.
        if reason is not Reason.PROBE_DISCONNECT:
            self._write()

    def ended(self, ended: Ended, reason: Reason | None, detail: str) -> None:
        """The association is over."""
        assert self._server is not None
        record = self.record
        metrics = self._worker.metrics
        record.ended = ended
        record.reason = reason
        record.detail = detail or None
        metrics.add("associations_active", (self._tenant,), -1)
        metrics.add("upstream_associations_active", self._server, -1)
        metrics.add("associations_ended_total", (self._tenant, str(ended)))
        took = time.monotonic() - self._secured
        metrics.observe("association_duration_seconds", (self._tenant,), took)
        if reason in _PDU_ERRORS:
            side = "upstream" if detail.startswith("upstream") else "client"
            metrics.add("pdu_errors_total", (self._tenant, side, str(reason)))
        self._write()

    def _write(self) -> None:
        self.record.duration_s = time.monotonic() - self.started
        self._worker.write_record(self.record)
