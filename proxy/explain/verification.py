"""The outcome of a C-ECHO in words, and what to try next, for `dicomgate echo`."""

import datetime
from typing import Any

from proxy.observe.answers import describe_answer
from proxy.policy import Reject
from proxy.upstream.verification import Outcome, StepName, Verification

#: Step -> its name in the printed result.
STEP_NAMES = {
    StepName.RESOLVE: "resolve",
    StepName.CONNECT: "connect",
    StepName.TLS: "TLS",
    StepName.ASSOCIATE: "A-ASSOCIATE",
    StepName.ECHO: "C-ECHO",
    StepName.RELEASE: "A-RELEASE",
}
#: (source, reason) of an A-ASSOCIATE-RJ (PS3.8 Table 9-21) -> hint.
_REJECT_HINTS = {
    (1, 1): "from dicomgate: the peer may not `echo`, or uniform_rejects hides the reason; its access record has it",
    (1, 3): "--calling, the address or the certificate is not allowed: see `peers` of the tenant, `dicomgate explain`",
    (1, 7): "the other side does not answer to the title of --called: see `called_aets` of the tenant",
    (2, 1): "the other side demands a user identity, which echo does not send",
    (3, 1): "the PACS behind a gateway may be down, or the other side is about to stop; try again",
    (3, 2): "the other side has too many associations open; try again",
}
_UNKNOWN_REJECT = "the log of the other side has the cause"


def hint_for(result: Verification, *, tls: bool, client_certificate: bool) -> str:
    """Return the next thing to try, or "" if the outcome needs no hint."""
    match result.outcome, result.answer:
        case Outcome.REJECTED, Reject(_, source, reason):
            return _REJECT_HINTS.get((source, reason), _UNKNOWN_REJECT)
        case Outcome.SERVER_CERTIFICATE, _:
            return "--ca FILE trusts the CA that issued it, --sni sets the name to check; --insecure shows it"
        case Outcome.TLS_FAILED, _:
            return _tls_hint(result, client_certificate=client_certificate)
        case Outcome.NAME_NOT_RESOLVED, _:
            return "this machine cannot look the name up: correct it, give the address instead, or repair its DNS"
        case Outcome.NOT_DICOM, _ if "HTTP/" in result.detail:
            return "this port belongs to a web server; DICOM has another port"
        case Outcome.CLOSED | Outcome.NOT_DICOM, _ if not tls:
            return "if this port speaks TLS: --tls"
        case Outcome.CLOSED, _ if result.failed_step is StepName.ASSOCIATE:
            return "with TLS 1.3, a missing or refused client certificate can look like this: --cert and --key"
        case Outcome.NOT_CONNECTED | Outcome.TIMEOUT, _ if not result.connected:
            return "check the port, that the server is running, and any firewall in between"
        case Outcome.CONTEXT_REFUSED, _:
            return "the association is allowed, C-ECHO is not"
        case _:
            return ""


def _tls_hint(result: Verification, *, client_certificate: bool) -> str:
    if client_certificate:
        return "run `dicomgate pki inspect` on the client certificate, and check which CAs the other side trusts"
    if result.tls is not None:
        return "--cert and --key: send a client certificate of a CA that the other side trusts"
    return (
        "no TLS on this port: omit --tls; a client certificate is demanded: --cert; an old server: --profile; "
        "a port behind a load balancer: --proxy-header"
    )


def failure_in_words(result: Verification) -> str:
    """Return the peer's A-ASSOCIATE-RJ or A-ABORT in words, or the detail of a failure without one."""
    return describe_answer(result.answer) if result.answer is not None else result.detail


def to_dict(result: Verification, hint: str) -> dict[str, Any]:
    """Return the result for `--format json`. Times in seconds."""
    return {
        "outcome": result.outcome,
        "detail": failure_in_words(result),
        "hint": hint,
        "address": result.address,
        "steps": {step: round(seconds, 6) for step, seconds in result.steps},
        "failed_step": result.failed_step,
        "tls": _tls_to_dict(result),
        "status": result.status,
        "implementation": result.implementation,
    }


def _tls_to_dict(result: Verification) -> dict[str, Any] | None:
    tls = result.tls
    if tls is None:
        return None
    now = datetime.datetime.now(datetime.UTC)
    chain = [
        {
            "subject": certificate.subject.text,
            "issuer": certificate.issuer.text,
            "not_after": certificate.not_after.isoformat(),
            "days_left": (certificate.not_after - now).days,
            "sha256": certificate.sha256,
        }
        for certificate in tls.chain
    ]
    return {"version": tls.version, "cipher": tls.cipher, "alpn": tls.alpn, "chain": chain}
