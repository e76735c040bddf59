"""`dicomgate pki`: certificates for a test bed or one department (folder layout: proxy/pki/authority.py)."""

import dataclasses
import datetime
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from proxy.cli.arguments import read_file
from proxy.cli.output import NO, CommandError, Format, FormatOption, note, say, say_json
from proxy.config.quoting import printable, yaml_text
from proxy.explain.certificate_words import describe
from proxy.pdu.ae_title import check_ae_title
from proxy.pki import inspection
from proxy.pki.authority import CRL_DAYS, Issued, Pki, create_request
from proxy.pki.index import Entry, PkiError
from proxy.pki.issuing import IssuingError, KeyType, Names, Usage

T = TypeVar("T")

_P12_SOURCES = "random|prompt|none|pass:TEXT|env:NAME|file:PATH"
_PASSWORD_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # noqa: S105 - no letters that look alike on a screen
_PASSWORD_LENGTH = 16  # 79 bits

app = typer.Typer(no_args_is_help=True, help="Make and inspect the certificates of the gateway and of its devices.")

DirOption = Annotated[Path, typer.Option("--dir", help="The folder of the PKI.")]
RsaOption = Annotated[bool, typer.Option("--rsa", help="RSA instead of EC P-256, for old devices.")]
DnsOption = Annotated[list[str] | None, typer.Option("--dns", help="DNS name in the certificate; may be repeated.")]
UriOption = Annotated[list[str] | None, typer.Option("--uri", help="URI in the certificate; may be repeated.")]
IpOption = Annotated[list[str] | None, typer.Option("--ip", help="IP address in the certificate; may be repeated.")]
ServerOption = Annotated[bool, typer.Option("--server", help="For a server: the gateway, or a PACS that speaks TLS.")]
ClientOption = Annotated[
    bool, typer.Option("--client", help="With --server: for both roles, e.g. a modality that also listens.")
]


@app.command()
def init(
    folder: DirOption = Path("pki"),
    name: Annotated[str, typer.Option(help="First word of the names of the two CAs.")] = "dicomgate",
    rsa: RsaOption = False,
) -> None:
    """Make a new PKI: a root CA, and an intermediate CA that issues certificates."""
    pki = _try(lambda: Pki.create(folder, name, _now(), key_type=_key_type(rsa)))
    say(f"made a PKI in {folder}")
    say(f"  client_auth.ca of the gateway, and the trusted CA of the devices:  {pki.ca}")
    say(f"  client_auth.crl of the gateway:                                    {pki.crl}")
    note(f"keep {folder / 'root.key'} in a safe place off this machine: issuing does not need it")
    note(f"next: dicomgate pki issue pacs.example.org --server --dir {folder}")
    note(f"      dicomgate pki issue CT1 --dns ct1.example.org --dir {folder}")


@app.command()
def issue(
    name: Annotated[str, typer.Argument(help="AE title of the device, or DNS name of the server.")],
    folder: DirOption = Path("pki"),
    dns: DnsOption = None,
    uri: UriOption = None,
    ip: IpOption = None,
    server: ServerOption = False,
    client: ClientOption = False,
    rsa: RsaOption = False,
    days: Annotated[int | None, typer.Option(min=1, max=3652, help="Default: 397 for a server, else 825.")] = None,
    csr: Annotated[
        Path | None, typer.Option("--csr", help="Certify the key of this request, and ignore its names.")
    ] = None,
    p12: Annotated[
        str, typer.Option("--p12-password", metavar=_P12_SOURCES, help="Password of the PKCS#12 file.")
    ] = "random",
    p12_legacy: Annotated[
        bool, typer.Option("--p12-legacy", help="PKCS#12 for Windows before 10 and old Java.")
    ] = False,
    renew: Annotated[bool, typer.Option("--renew", help="Replace its files; the old certificate stays valid.")] = False,
) -> None:
    """Issue a certificate to a device or a server, as PEM and PKCS#12."""
    pki = _try(lambda: Pki.open(folder))
    names = _try(lambda: Names.parse(dns or (), uri or (), ip or ()))
    if not names:
        names = _default_names(name)
    usage = _usage(server, client)
    request = read_file(csr) if csr else None
    password = None if csr else _password(p12)
    issued = _try(
        lambda: pki.issue(
            name,
            names,
            _now(),
            usage=usage,
            days=days,
            key_type=_key_type(rsa),
            password=password,
            legacy_bundle=p12_legacy,
            request=request,
            renew=renew,
        )
    )
    say(f"issued {name}, valid until {issued.entry.not_after[:10]}, {' and '.join(usage)}, {_in_words(names)}")
    # Only a generated password is printed: any other is known to the user, and may come from a secret store.
    _print_issued(issued, usage, password if p12 == "random" else None, pki.ca)


def _print_issued(issued: Issued, usage: Sequence[Usage], password: str | None, ca: Path) -> None:
    """Print the files of a certificate, and the lines of a configuration that use it."""
    say(f"  certificate:  {issued.chain}")
    if issued.key:
        say(f"  key:          {issued.key}")
        say(f"  both:         {issued.bundle}" + (f"  password: {password}" if password else ""))
    if "server" in usage:
        say("for tls.certificates of the listener or tenant:")
        say(f"  - {{chain: {issued.chain}, key: {{file: {issued.key or '...'}}}}}")
    if "client" in usage:
        say("for peers of the tenant:")
        say(f"  {peer_line(issued.entry)}")
        say(f"for client_auth.ca where it must be trusted:  {ca}")


@app.command()
def csr(
    name: Annotated[str, typer.Argument(help="AE title of the device, or DNS name of the server.")],
    folder: DirOption = Path("pki"),
    dns: DnsOption = None,
    uri: UriOption = None,
    ip: IpOption = None,
    server: ServerOption = False,
    client: ClientOption = False,
    rsa: RsaOption = False,
) -> None:
    """Make a key and a certificate request for the hospital's CA."""
    names = _try(lambda: Names.parse(dns or (), uri or (), ip or ())) or _default_names(name)
    path = _try(lambda: create_request(folder, name, names, usage=_usage(server, client), key_type=_key_type(rsa)))
    say(f"  request:  {path}")
    say(f"  key:      {path.parent / 'key.pem'}")
    note("next: give the request to the CA; put its certificate, then its intermediates, into one PEM file (`chain`)")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Name of the certificate, or its serial number in hex.")],
    folder: DirOption = Path("pki"),
) -> None:
    """Revoke a certificate and write the CRL."""
    pki = _try(lambda: Pki.open(folder))
    for entry in _try(lambda: pki.revoke(name, _now())):
        say(f"revoked {entry.name}, serial {entry.serial}")
    note(f"the gateway refuses it if client_auth.crl is {pki.crl}; `dicomgate reload` loads the CRL at once")


@app.command()
def crl(
    folder: DirOption = Path("pki"),
    days: Annotated[int, typer.Option(min=1, max=3652, help="Days until its nextUpdate.")] = CRL_DAYS,
) -> None:
    """Sign the CRL again, before its nextUpdate."""
    pki = _try(lambda: Pki.open(folder))
    next_update = _try(lambda: pki.write_crl(_now(), days))
    revoked = sum(entry.revoked is not None for entry in pki.entries())
    say(f"{pki.crl}: {revoked} revoked, next update {next_update:%Y-%m-%d}")


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="Certificates, CRLs or requests, PEM or DER.")],
    format: FormatOption = Format.TEXT,
) -> None:
    """Show the contents of a file, and where a configuration can use it. Exit code 1: a certificate fits nowhere."""
    try:
        found = inspection.inspect(read_file(file), _now())
    except inspection.InspectionError as error:
        raise CommandError(f"{file}: {error}") from None
    if format is Format.JSON:
        say_json([_jsonable(facts) for facts in found])
    else:
        for facts in found:
            for label, value, style in describe(facts, _now()):
                say(f"{label:<14}{printable(value)}", style)
            say()
    if any(isinstance(f, inspection.ShownCertificate) and not any(use.possible for use in f.uses) for f in found):
        raise typer.Exit(NO)


def peer_line(entry: Entry) -> str:
    """Return the line for `peers` that binds a certificate to its AE title."""
    kinds = {"san_dns": entry.dns, "san_uri": entry.uri}
    cert = ", ".join(f"{kind}: [{', '.join(map(yaml_text, values))}]" for kind, values in kinds.items() if values)
    title = yaml_text(entry.name) if check_ae_title(entry.name) is None else "AE_TITLE"
    return f"- {{aet: {title}, cert: {{{cert or f'sha256: [{entry.sha256}]'}}}, allow: [modality]}}"


def _default_names(name: str) -> Names:
    """Return a DNS name made of the certificate's name, for a command without --dns, --uri and --ip."""
    label = name.lower().replace("_", "-").replace(" ", "-")
    try:
        return Names.parse([label])
    except IssuingError:
        raise CommandError(f"{name!r} is not a DNS name; give a name with --dns, --uri or --ip") from None


def _password(source: str) -> str | None:
    """Return the password that a value of --p12-password stands for, or None for no password."""
    kind, _, value = source.partition(":")
    if source == "random":
        return "".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(_PASSWORD_LENGTH))
    if source == "none":
        return None
    if source == "prompt":
        if not sys.stdin.isatty():
            raise CommandError("--p12-password prompt: there is no terminal to prompt on; use file:PATH or env:NAME")
        return str(typer.prompt("Password of the PKCS#12 file", hide_input=True, confirmation_prompt=True, err=True))
    if kind == "env" and value in os.environ:
        password = os.environ[value]
    elif kind == "file":
        password = read_file(Path(value)).decode().split("\n")[0].rstrip("\r")
    elif kind == "pass":
        password = value
    elif kind == "env":
        raise CommandError(f"--p12-password: the environment has no {value}")
    else:
        raise CommandError(f"--p12-password: give one of {_P12_SOURCES}")
    if not password:
        raise CommandError(f"--p12-password {kind}: the password is empty; for no password give --p12-password none")
    return password


def _usage(server: bool, client: bool) -> tuple[Usage, ...]:
    if server and client:
        return ("client", "server")
    return ("server",) if server else ("client",)


def _key_type(rsa: bool) -> KeyType:
    return "rsa" if rsa else "ec"


def _in_words(names: Names) -> str:
    return ", ".join([*names.dns, *names.uri, *names.ip])


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def _try(action: Callable[[], T]) -> T:
    """Return the result of an action. Its errors become a CommandError."""
    try:
        return action()
    except (PkiError, IssuingError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None


def _jsonable(facts: inspection.Shown) -> dict[str, Any]:
    kind = type(facts).__name__.removeprefix("Shown").lower()
    values = {k: v.isoformat() if isinstance(v, datetime.datetime) else v for k, v in dataclasses.asdict(facts).items()}
    return {"type": kind, **values}
