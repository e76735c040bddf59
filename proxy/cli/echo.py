"""`dicomgate echo`: one C-ECHO, with the time and the outcome of every step."""

import asyncio
import datetime
import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.cli.arguments import parse_target, read_file, require_ae_title
from proxy.cli.output import NO, OK, UNREACHABLE, CommandError, Format, FormatOption, printable, say, say_json

if TYPE_CHECKING:
    import ssl

    from proxy.upstream.tls_facts import ChainCertificate
    from proxy.upstream.verification import Verification


class ProxyHeaderVersion(enum.StrEnum):
    """Versions of the PROXY protocol."""

    V1 = "v1"
    V2 = "v2"


def command(
    target: Annotated[str, typer.Argument(metavar="HOST:PORT", help="An address in brackets for IPv6: [::1]:2762.")],
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS.")] = False,
    sni: Annotated[str | None, typer.Option(help="Server name to send and to check; default: HOST.")] = None,
    no_sni: Annotated[bool, typer.Option("--no-sni", help="Send and check no name, as DCMTK and Orthanc do.")] = False,
    ca: Annotated[Path | None, typer.Option(help="CA certificates to trust (PEM); default: the system's.")] = None,
    cert: Annotated[Path | None, typer.Option(help="Client certificate with its chain (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key (PEM); default: in the same file.")] = None,
    profile: Annotated[str, typer.Option(help="TLS profile.")] = "bcp195-rfc8996",
    calling: Annotated[str, typer.Option(help="Our AE title.")] = "DICOMGATE",
    called: Annotated[str, typer.Option(help="The AE title that is asked.")] = "ANY-SCP",
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds for all of it.")] = 10,
    proxy_header: Annotated[
        ProxyHeaderVersion | None, typer.Option(help="Begin with a PROXY header, as the load balancer in front does.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Do not verify the certificate; to look at it.")] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Ask a PACS or the gateway for C-ECHO. Exit code 0: answered; 1: refused; 3: not reachable."""
    from proxy.config.values import Server
    from proxy.pdu.proxy_header import encode_proxy_header
    from proxy.upstream.echo_client import verify
    from proxy.upstream.verification import Request

    host, port = parse_target(target)
    for option, title in (("--calling", calling), ("--called", called)):
        require_ae_title(option, title)
    if not tls and (sni or no_sni or ca or cert or key or insecure):
        raise CommandError("--sni, --no-sni, --ca, --cert, --key and --insecure need --tls")
    if sni and no_sni:
        raise CommandError("--sni and --no-sni exclude one another")
    context = _context(profile, ca, cert, key, verify=not insecure, verify_name=not no_sni) if tls else None
    # Nobody is behind us: LOCAL, or UNKNOWN.
    preface = b"" if proxy_header is None else encode_proxy_header(int(proxy_header[1:]), None, None)
    request = Request(Server(host, port), called, calling, context, None if no_sni else sni or host, timeout, preface)
    result = asyncio.run(verify(request))
    hint = hint_for(result, tls=tls, client_certificate=cert is not None)
    if format is Format.JSON:
        say_json(_as_json(result, hint))
    else:
        _print(result, hint, called, verified=not insecure)
    raise typer.Exit(exit_code(result))


def exit_code(result: "Verification") -> int:
    from proxy.upstream.verification import Outcome

    if result.outcome is Outcome.OK:
        return OK
    unreachable = (Outcome.NAME_NOT_RESOLVED, Outcome.NOT_CONNECTED, Outcome.TIMEOUT)
    return UNREACHABLE if result.outcome in unreachable else NO


def hint_for(result: "Verification", *, tls: bool, client_certificate: bool) -> str:
    """What to do about it, or ""."""
    from proxy.policy import Reject
    from proxy.upstream.verification import Outcome, StepName

    match result.outcome, result.answer:
        case Outcome.REJECTED, Reject(_, source, reason):
            return _REJECT_HINTS.get((source, reason), "look at the log of the other side: it knows why")
        case Outcome.SERVER_CERTIFICATE, _:
            return "--ca FILE names the CA that issued it, --sni the name in it; --insecure shows the certificate"
        case Outcome.TLS_FAILED, _ if not client_certificate and result.tls is not None:
            return "--cert and --key: a client certificate of a CA that the other side trusts"
        case Outcome.TLS_FAILED, _ if not client_certificate:
            return (
                "no TLS on this port: leave out --tls; a client certificate demanded: --cert; an old server: --profile"
                "; a port behind a load balancer: --proxy-header"
            )
        case Outcome.TLS_FAILED, _:
            return (
                "look at `dicomgate pki inspect` of the client certificate, and at the CAs that the other side trusts"
            )
        case Outcome.NAME_NOT_RESOLVED, _:
            return "this machine cannot look the name up: correct it, give the address instead, or mend its DNS"
        case Outcome.NOT_DICOM, _ if "HTTP/" in result.detail:
            return "that is a web server: DICOM has another port"
        case Outcome.CLOSED | Outcome.NOT_DICOM, _ if not tls:
            return "if this port speaks TLS: --tls"
        case Outcome.CLOSED, _ if result.failed_step is StepName.ASSOCIATE:
            return "with TLS 1.3 a client certificate that is missing or refused can look like this: --cert and --key"
        case Outcome.NOT_CONNECTED | Outcome.TIMEOUT, _ if not result.connected:
            return "is the port right, is the server running, is a firewall between?"
        case Outcome.CONTEXT_REFUSED, _:
            return "the association is allowed, C-ECHO is not"
        case _:
            return ""


_REJECT_HINTS = {
    (1, 1): "of the gateway: the peer may not `echo`, or uniform_rejects hides what its access record says",
    (1, 3): "--calling, the address or the certificate is not allowed: see `peers` of the tenant, `dicomgate explain`",
    (1, 7): "--called is no title that is answered here: see `called_aets` of the tenant",
    (2, 1): "a user identity is asked for, which echo does not send",
    (3, 1): "the PACS behind it may be down, or it drains before it ends; try again",
    (3, 2): "too many associations are open there; try again",
}


def _context(
    profile: str, ca: Path | None, cert: Path | None, key: Path | None, *, verify: bool, verify_name: bool
) -> "ssl.SSLContext":
    from proxy.tls import PROFILES, TlsSetupError, client_context

    if profile not in PROFILES:
        raise CommandError(f"--profile {profile}: one of {', '.join(PROFILES)} is needed")
    if key and not cert:
        raise CommandError("--key needs --cert")
    trusted, pair = read_file(ca) if ca else None, _key_pair(cert, key) if cert else (None, None)
    if trusted is not None and b"-----BEGIN CERTIFICATE-----" not in trusted:
        raise CommandError(f"--ca {ca}: holds no PEM certificate")
    try:
        return client_context(
            PROFILES[profile],
            ca=trusted if trusted is not None else "system",
            certificate=pair[0],
            key=pair[1],
            verify=verify,
            verify_name=verify_name,
        )
    except TlsSetupError as error:
        raise CommandError(str(error)) from None


def _key_pair(cert: Path, key: Path | None) -> tuple[bytes, bytes]:
    """The client certificate with its chain, and its key. CommandError where they do not go together."""
    from proxy.config.x509_facts import public_key_of, read_certificates

    chain, secret = read_file(cert), read_file(key or cert)
    named = f"--cert {cert}"
    try:
        leaf = read_certificates(chain)[0]
        if key is None and b"PRIVATE KEY-----" not in secret:
            raise CommandError(f"{named}: holds no key: name its file with --key")
        named = f"--key {key}" if key else named
        if public_key_of(secret) != leaf.public_key:
            raise CommandError(f"{named}: is not the key of the certificate in {cert}")
    except ValueError as error:
        raise CommandError(f"{named}: {error}") from None
    return chain, secret


def _in_words(result: "Verification") -> str:
    from proxy.observe.answers import describe_answer

    return describe_answer(result.answer) if result.answer is not None else result.detail


def _print(result: "Verification", hint: str, called: str, *, verified: bool) -> None:
    from proxy.upstream.verification import Outcome, StepName

    tls = result.tls
    remarks = {
        StepName.CONNECT: result.address or "",
        StepName.TLS: ", ".join(filter(None, [tls.version, tls.cipher, f"ALPN {tls.alpn}" if tls.alpn else ""]))
        if tls
        else "",
        StepName.ASSOCIATE: f"accepted by {result.implementation}" if result.implementation else "accepted",
        StepName.ECHO: "success",
    }
    for step, seconds in result.steps:
        say(f"{_STEP_WORDS[step]:<12}{seconds * 1000:9.1f} ms  {printable(remarks.get(step, ''))}".rstrip())
        if step is StepName.TLS and tls is not None:
            for certificate in tls.chain:
                _print_certificate(certificate)
            if not verified:
                say(f"{'':25}NOT VERIFIED (--insecure)", "yellow")
    if result.outcome is Outcome.OK:
        say(f"yes: {called} answers" + (f"; {result.detail}" if result.detail else ""), "green")
        return
    assert result.failed_step is not None
    say(f"{_STEP_WORDS[result.failed_step]:<12}   failed")
    say(f"no: {printable(_in_words(result))}", "bold red")
    if hint:
        say(f"    {hint}")


def _print_certificate(certificate: "ChainCertificate") -> None:
    from proxy.cli.certificates import validity

    until, style = validity(certificate.not_after, datetime.datetime.now(datetime.UTC))
    say(f"{'':25}{printable(certificate.subject)}, {until}", style)
    say(f"{'':25}  issued by {printable(certificate.issuer)}, sha256 {certificate.sha256}")


_STEP_WORDS = {
    "resolve": "resolve",
    "connect": "connect",
    "tls": "TLS",
    "associate": "A-ASSOCIATE",
    "echo": "C-ECHO",
    "release": "A-RELEASE",
}


def _as_json(result: "Verification", hint: str) -> dict[str, Any]:
    tls = result.tls
    return {
        "outcome": result.outcome,
        "detail": _in_words(result),
        "hint": hint,
        "address": result.address,
        "steps": {step: round(seconds, 6) for step, seconds in result.steps},
        "failed_step": result.failed_step,
        "tls": tls
        and {
            "version": tls.version,
            "cipher": tls.cipher,
            "alpn": tls.alpn,
            "chain": [
                {
                    "subject": certificate.subject,
                    "issuer": certificate.issuer,
                    "not_after": certificate.not_after.isoformat(),
                    "days_left": (certificate.not_after - datetime.datetime.now(datetime.UTC)).days,
                    "sha256": certificate.sha256,
                }
                for certificate in tls.chain
            ],
        },
        "status": result.status,
        "implementation": result.implementation,
    }
