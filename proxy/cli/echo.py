"""`dicomgate echo`: one C-ECHO, with the duration and outcome of each step."""

import asyncio
import datetime
import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.arguments import parse_target, read_file, require_ae_title
from proxy.cli.output import NO, OK, UNREACHABLE, CommandError, Format, FormatOption, say, say_json
from proxy.config.profiles import DEFAULT_PROFILE_NAME
from proxy.config.quoting import printable

if TYPE_CHECKING:
    import ssl

    from proxy.upstream.tls_facts import TlsFacts
    from proxy.upstream.verification import Verification
    from proxy.x509.certificate import Certificate

_DETAILS = " " * 25  # the column of the remarks


class ProxyHeaderVersion(enum.StrEnum):
    """Versions of the PROXY protocol."""

    V1 = "v1"
    V2 = "v2"


def command(
    target: Annotated[str, typer.Argument(metavar="HOST:PORT", help="An IPv6 address in brackets: [::1]:2762.")],
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS.")] = False,
    sni: Annotated[str | None, typer.Option(help="Server name to send and to verify; default: HOST.")] = None,
    no_sni: Annotated[bool, typer.Option("--no-sni", help="Send and verify no name, as DCMTK and Orthanc do.")] = False,
    ca: Annotated[Path | None, typer.Option(help="CA certificates to trust (PEM); default: the system's.")] = None,
    cert: Annotated[Path | None, typer.Option(help="Client certificate with its chain (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key of --cert (PEM); default: the same file.")] = None,
    profile: Annotated[str, typer.Option(help="TLS profile.")] = DEFAULT_PROFILE_NAME,
    calling: Annotated[str, typer.Option(help="Calling AE title.")] = "DICOMGATE",
    called: Annotated[str, typer.Option(help="Called AE title.")] = "ANY-SCP",
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds for all steps together.")] = 10,
    proxy_header: Annotated[
        ProxyHeaderVersion | None, typer.Option(help="Send a PROXY header first, as a load balancer does.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Show the server's certificate without verifying it.")
    ] = False,
    format: FormatOption = Format.TEXT,
) -> None:
    """Send a C-ECHO to a PACS or to the gateway. Exit code: 0 success, 1 refused, 2 usage, 3 not reachable."""
    from proxy.config.values import Server
    from proxy.explain.verification import hint_for, to_dict
    from proxy.pdu.proxy_header import encode_proxy_header
    from proxy.upstream.echo_client import verify
    from proxy.upstream.verification import VerificationRequest

    host, port = parse_target(target)
    for option, title in (("--calling", calling), ("--called", called)):
        require_ae_title(option, title)
    if not tls and (sni or no_sni or ca or cert or key or insecure):
        raise CommandError("--sni, --no-sni, --ca, --cert, --key and --insecure need --tls")
    if sni and no_sni:
        raise CommandError("--sni and --no-sni exclude one another")
    context = _context(profile, ca, cert, key, verify=not insecure, verify_name=not no_sni) if tls else None
    # The header names no client, as in a load balancer's own probe: LOCAL in version 2, UNKNOWN in version 1.
    preface = b"" if proxy_header is None else encode_proxy_header(int(proxy_header[1:]), None, None)
    request = VerificationRequest(
        Server(host, port), called, calling, context, None if no_sni else sni or host, timeout, preface
    )
    result = asyncio.run(verify(request))
    hint = hint_for(result, tls=tls, client_certificate=cert is not None)
    if format is Format.JSON:
        say_json(to_dict(result, hint))
    else:
        _print(result, hint, called, verified=not insecure)
    raise typer.Exit(exit_code(result))


def exit_code(result: "Verification") -> int:
    """Return the exit code of the command: OK, NO or UNREACHABLE."""
    from proxy.upstream.verification import Outcome

    if result.outcome is Outcome.OK:
        return OK
    unreachable = (Outcome.NAME_NOT_RESOLVED, Outcome.NOT_CONNECTED, Outcome.TIMEOUT)
    return UNREACHABLE if result.outcome in unreachable else NO


def _context(
    profile: str, ca: Path | None, cert: Path | None, key: Path | None, *, verify: bool, verify_name: bool
) -> "ssl.SSLContext":
    from proxy.tls.client import client_context
    from proxy.tls.errors import TlsSetupError
    from proxy.tls.profiles import PROFILES

    if profile not in PROFILES:
        raise CommandError(f"--profile {profile}: not a TLS profile; the profiles are {', '.join(PROFILES)}")
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
    """Return the client certificate with its chain, and its key. Raises CommandError unless they belong together."""
    from proxy.x509.files import read_certificates
    from proxy.x509.keys import public_key_of

    chain, secret = read_file(cert), read_file(key or cert)
    named = f"--cert {cert}"
    try:
        leaf = read_certificates(chain)[0]
        if key is None and b"PRIVATE KEY-----" not in secret:
            raise CommandError(f"{named}: holds no key: name its file with --key")
        named = f"--key {key}" if key else named
        if public_key_of(secret) != leaf.key.spki:
            raise CommandError(f"{named}: is not the key of the certificate in {cert}")
    except ValueError as error:
        raise CommandError(f"{named}: {error}") from None
    return chain, secret


def _print(result: "Verification", hint: str, called: str, *, verified: bool) -> None:
    from proxy.explain.verification import STEP_NAMES, failure_in_words
    from proxy.upstream.verification import Outcome, StepName

    remarks = {
        StepName.CONNECT: result.address or "",
        StepName.TLS: _tls_remark(result.tls),
        StepName.ASSOCIATE: f"accepted by {result.implementation}" if result.implementation else "accepted",
        StepName.ECHO: "success",
    }
    for step, seconds in result.steps:
        say(f"{STEP_NAMES[step]:<12}{seconds * 1000:9.1f} ms  {printable(remarks.get(step, ''))}".rstrip())
        if step is StepName.TLS and result.tls is not None:
            _print_chain(result.tls, verified=verified)
    if result.outcome is Outcome.OK:
        say(f"yes: {called} answers" + (f"; {result.detail}" if result.detail else ""), "green")
        return
    assert result.failed_step is not None
    say(f"{STEP_NAMES[result.failed_step]:<12}   failed")
    say(f"no: {printable(failure_in_words(result))}", "bold red")
    if hint:
        say(f"    {hint}")


def _tls_remark(tls: "TlsFacts | None") -> str:
    if tls is None:
        return ""
    return ", ".join(filter(None, [tls.version, tls.cipher, f"ALPN {tls.alpn}" if tls.alpn else ""]))


def _print_chain(tls: "TlsFacts", *, verified: bool) -> None:
    for certificate in tls.chain:
        _print_certificate(certificate)
    if not verified:
        say(f"{_DETAILS}NOT VERIFIED (--insecure)", "yellow")


def _print_certificate(certificate: "Certificate") -> None:
    from proxy.explain.certificate_words import validity

    until, style = validity(certificate.not_after, datetime.datetime.now(datetime.UTC))
    say(f"{_DETAILS}{printable(certificate.subject.text)}, {until}", style)
    say(f"{_DETAILS}  issued by {printable(certificate.issuer.text)}, sha256 {certificate.sha256}")
