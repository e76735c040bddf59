"""The access record: one line for each association, when it ends or is refused (docs/reference/record.md).

`access_record.schema.json` describes its public form: an unknown field is left out, never null. No field can contain a
passcode, a token or patient data. Text from a peer is cut to a fixed length here, and escaped when it is written.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from proxy.observe.answers import describe_answer
from proxy.observe.json_values import Json, known_fields
from proxy.observe.times import rfc3339
from proxy.pdu.model import PresentationContext, PresentationContextResult
from proxy.policy import Answer, Ended, Reason, Reject, Step, VerifiedCertificate

SCHEMA_VERSION = 1
EVENT = "association"

# A record is at most this long in each part, whatever a peer sends.
MAX_NAMES = 32  # names of a certificate
MAX_CONTEXTS = 128  # refused presentation contexts: PS3.8 allows the odd ids from 1 to 255
MAX_TRANSFER_SYNTAXES = 8  # of one proposed context


@dataclass(frozen=True, slots=True)
class RefusedContext:
    """A presentation context that was refused, and the side that refused it."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    by: str  # gateway | upstream
    result: int | None = None  # of the A-ASSOCIATE-AC (PS3.8 Table 9-18)


@dataclass(slots=True)
class OperationCount:
    """DIMSE requests of one service from both sides, and their final responses by status class."""

    requests: int = 0
    ok: int = 0
    warnings: int = 0
    failures: int = 0
    refused: int = 0  # by the gateway
    seconds: float = 0.0  # from a request to its final response, summed over the requests

    def to_dict(self) -> dict[str, Json]:
        """Return the counts under their logged names."""
        return known_fields(
            {
                "n": self.requests,
                "ok": self.ok,
                "warn": self.warnings,
                "fail": self.failures,
                "refused": self.refused,
                "seconds": round(self.seconds, 6) or None,
            }
        )


@dataclass(slots=True)
class InstanceCount:
    """Answered C-STORE requests from both sides, and the bytes of their data sets."""

    number: int = 0
    bytes: int = 0


@dataclass(slots=True)
class AccessRecord:
    """Everything known about one association. It is filled in as the association proceeds.

    `access_record.schema.json` describes the logged form of each field. A field that is None or empty is not known yet,
    or does not apply.
    """

    id: str
    ts_start: float  # seconds since the epoch
    listener: str
    tenant: str | None = None
    peer: str | None = None
    decision: str = "failed"  # accepted | refused | failed
    rule: str | None = None  # the peer entry that matched, or the reason of the refusal
    reason: Reason | None = None
    detail: str | None = None
    answer: Answer | None = None  # sent to the requestor, by the gateway or passed on from the upstream
    would_refuse: tuple[Reason, ...] = ()
    client_ip: ipaddress.IPv4Address | ipaddress.IPv6Address | str | None = None
    client_port: int | None = None
    client_via: str = "socket"  # socket | proxy_header
    client_proxy: ipaddress.IPv4Address | ipaddress.IPv6Address | str | None = None  # sender of the PROXY header
    sni: str | None = None
    tls_version: str | None = None
    tls_cipher: str | None = None
    certificate: VerifiedCertificate | None = None
    certificate_ca: tuple[str, ...] = ()  # configured names of its CA
    calling_aet: str | None = None  # as sent
    called_aet: str | None = None
    forwarded_calling_aet: str | None = None  # as sent to the upstream
    forwarded_called_aet: str | None = None
    implementation_class_uid: str | None = None
    implementation_version_name: str | None = None
    max_pdu: int | None = None  # bytes
    user_type: int | None = None  # PS3.7 Table D.3-14
    user_name: str | None = None  # verified
    contexts_proposed: int | None = None
    contexts_kept: int = 0  # forwarded to the upstream
    contexts_accepted: int = 0  # by the upstream
    contexts_refused: Sequence[RefusedContext] = ()
    upstream: str | None = None
    server: str | None = None
    upstream_tls: tuple[str, str] | None = None  # version and cipher
    bytes_in: int = 0  # plaintext, from the requestor
    bytes_out: int = 0  # plaintext, to the requestor
    pdus_in: int = 0
    pdus_out: int = 0
    dimse: dict[str, OperationCount] = field(default_factory=dict)  # by service: C-STORE
    instances: dict[str, InstanceCount] = field(default_factory=dict)  # by group of SOP classes
    refused_operations: tuple[str, ...] = ()  # in words
    observed_operations: tuple[str, ...] = ()  # in words: refused without observe_until
    ended: Ended = Ended.REFUSED
    duration_s: float = 0.0
    upstream_setup_s: float | None = None
    trace: Sequence[Step] = field(default=())  # at log level debug

    def to_dict(self, now: float) -> dict[str, Json]:
        """Return the fields to log at `now`, in seconds since the epoch, without the unknown ones."""
        return known_fields(
            {
                **self._occasion(now),
                **self._verdict(),
                **self._sender(),
                **self._request(),
                **self._forwarding(),
                **self._traffic(),
                "trace": [
                    known_fields(
                        {"rule": s.rule, "outcome": str(s.outcome), "detail": s.detail, "where": s.where or None}
                    )
                    for s in self.trace
                ],
            }
        )

    def _occasion(self, now: float) -> dict[str, Json | None]:
        """Return the time, listener, tenant and peer of the association."""
        return {
            "ts": rfc3339(now),
            "level": "info",
            "event": EVENT,
            "schema": SCHEMA_VERSION,
            "id": self.id,
            "ts_start": rfc3339(self.ts_start),
            "duration_s": round(self.duration_s, 6),
            "listener": self.listener,
            "tenant": self.tenant,
            "peer": self.peer,
        }

    def _verdict(self) -> dict[str, Json | None]:
        """Return the decision, its reason, and the end of the association."""
        answer = self.answer
        rejected: dict[str, Json] | None = None
        if isinstance(answer, Reject):
            rejected = {"result": answer.result, "source": answer.source, "reason": answer.reason}
        return {
            "decision": self.decision,
            "ended": str(self.ended),
            "rule": self.rule,
            "reason": None if self.reason is None else str(self.reason),
            "detail": self.detail,
            "answer": None if answer is None else describe_answer(answer),
            "rj": rejected,
            "would_refuse": [str(reason) for reason in self.would_refuse],
        }

    def _sender(self) -> dict[str, Json | None]:
        """Return the address of the requestor, and the TLS of its connection."""
        client: dict[str, Json | None] = {
            "ip": None if self.client_ip is None else str(self.client_ip),
            "port": self.client_port,
            "via": self.client_via,
            "proxy": None if self.client_proxy is None else str(self.client_proxy),
        }
        return {"client": known_fields(client), "sni": self.sni, "tls": self._tls()}

    def _request(self) -> dict[str, Json | None]:
        """Return the fields of the A-ASSOCIATE-RQ."""
        forwarded: dict[str, Json | None] = {
            "calling_aet": self.forwarded_calling_aet,
            "called_aet": self.forwarded_called_aet,
        }
        implementation: dict[str, Json | None] = {
            "class_uid": self.implementation_class_uid,
            "version_name": self.implementation_version_name,
        }
        return {
            "calling_aet": self.calling_aet,
            "called_aet": self.called_aet,
            "forwarded": known_fields(forwarded),
            "implementation": known_fields(implementation),
            "max_pdu": self.max_pdu,
            "user": known_fields({"type": self.user_type, "name": self.user_name}),
            "contexts": self.contexts(),
        }

    def _forwarding(self) -> dict[str, Json | None]:
        """Return the server that received the request, and the TLS of that connection."""
        tls = self.upstream_tls
        return {
            "upstream": self.upstream,
            "server": self.server,
            "upstream_tls": None if tls is None else {"version": tls[0], "cipher": tls[1]},
            "upstream_setup_s": None if self.upstream_setup_s is None else round(self.upstream_setup_s, 6),
        }

    def _traffic(self) -> dict[str, Json | None]:
        """Return the bytes, PDUs and DIMSE operations of the established association."""
        return {
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "pdus_in": self.pdus_in,
            "pdus_out": self.pdus_out,
            "dimse": {name: count.to_dict() for name, count in self.dimse.items()},
            "instances": {group: {"n": n.number, "bytes": n.bytes} for group, n in self.instances.items()},
            "refused_operations": list(self.refused_operations),
            "observed_operations": list(self.observed_operations),
        }

    def _tls(self) -> dict[str, Json]:
        certificate = self.certificate
        names: list[Json] = []
        if certificate is not None:
            names.extend((*certificate.san_dns, *certificate.san_uri)[:MAX_NAMES])
        return known_fields(
            {
                "version": self.tls_version,
                "cipher": self.tls_cipher,
                "client_cert": None
                if certificate is None
                else known_fields(
                    {
                        "sha256": certificate.sha256,
                        "spki_sha256": certificate.spki_sha256,
                        "subject": certificate.subject or None,
                        "names": names,
                        "ca": list(self.certificate_ca),
                        "serial": certificate.serial or None,
                        "not_after": rfc3339(certificate.not_after),
                    }
                ),
            }
        )

    def contexts(self) -> dict[str, Json]:
        """Return the numbers of presentation contexts, and each refused one with the side that refused it."""
        if self.contexts_proposed is None:
            return {}
        refused: list[Json] = [
            known_fields(
                {
                    "id": context.context_id,
                    "abstract_syntax": context.abstract_syntax,
                    "transfer_syntaxes": list(context.transfer_syntaxes[:MAX_TRANSFER_SYNTAXES]),
                    "by": context.by,
                    "result": context.result,
                }
            )
            for context in self.contexts_refused[:MAX_CONTEXTS]
        ]
        return {
            "proposed": self.contexts_proposed,
            "kept": self.contexts_kept,
            "accepted": self.contexts_accepted,
            "refused": refused,
        }


def refused_contexts(
    proposed: Iterable[PresentationContext],
    kept: frozenset[int] | None,
    results: Iterable[PresentationContextResult],
) -> tuple[RefusedContext, ...]:
    """Return the contexts that were not accepted. Accepted ones are only counted, as 120 of them are usual.

    `kept`: ids that were forwarded to the upstream; None: all. `results`: the upstream's answer.
    """
    answers = {result.context_id: result.result for result in results}
    refused = []
    for context in proposed:
        proposal = (context.context_id, context.abstract_syntax, context.transfer_syntaxes)
        result = answers.get(context.context_id)
        if kept is not None and context.context_id not in kept:
            refused.append(RefusedContext(*proposal, by="gateway"))
        elif result != 0:  # None: the upstream left the context out of its answer, which is a refusal too
            refused.append(RefusedContext(*proposal, by="upstream", result=result))
    return tuple(refused)
