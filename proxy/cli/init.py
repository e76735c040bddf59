"""`dicomgate init`: a first configuration, which works on this machine at once and admits no other machine."""

import datetime
import ipaddress
import shlex
import socket
import string
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.arguments import parse_target, require_ae_title
from proxy.cli.output import CommandError, note, say
from proxy.config.quoting import printable, yaml_text

if TYPE_CHECKING:
    from proxy.pki.issuing import Names

PORT = 2762  # dicom-tls (PS3.8 section 9.1.1)
CALLING = "DICOMGATE"  # the calling AE title of `dicomgate echo`

_CONFIGURATION = string.Template("""\
# dicomgate in front of $aet_comment. All keys: dicomgate schema.
# After a change: dicomgate check --config $config
version: 1

listeners:
  dicom-tls:
    bind: ["0.0.0.0:$port"]
    tls:
      # Two kinds: old devices have RSA suites only, ECDSA costs less CPU. Valid for 397 days; to renew one:
      # dicomgate pki issue gateway --renew --server --dns ... --dir $pki   (and gateway-rsa with --rsa)
      certificates:
        - {chain: pki/issued/gateway/chain.pem, key: {file: pki/issued/gateway/key.pem}}
        - {chain: pki/issued/gateway-rsa/chain.pem, key: {file: pki/issued/gateway-rsa/key.pem}}
      client_auth:
        mode: optional            # a device may send a certificate; an invalid one is refused
        ca: pki/ca.pem
        # Refuses certificates that `dicomgate pki revoke` revoked. The CRL is valid for 30 days (`dicomgate pki crl`
        # renews it); after that every certificate of this CA is refused.
        # crl: pki/crl.pem

tenants:
  hospital:
    called_aets: [$aet]
    upstream: pacs
    # Allowed senders: the first match wins, all others are refused.
    peers:
      # This machine, for `dicomgate echo` and a first test.
      - {name: this-machine, aet: $calling, from: [127.0.0.1], allow: [all]}
      # A device with a certificate (dicomgate pki issue CT1 prints such a line):
      # - {aet: CT1, cert: {san_dns: [ct1]}, allow: [modality]}
      # A device without one, by its address:
      # - {aet: MR1, from: [10.20.1.12], allow: [modality]}

upstreams:
  pacs: {servers: [{address: $pacs}]}
""")


def command(
    pacs: Annotated[str, typer.Option("--pacs", metavar="HOST:PORT", help="Address of the PACS, for plain DICOM.")],
    aet: Annotated[str, typer.Option("--aet", metavar="TITLE", help="AE title of the PACS.")],
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder to write to.")] = Path("."),
    dns: Annotated[list[str] | None, typer.Option("--dns", help="DNS name by which devices call the gateway.")] = None,
    ip: Annotated[list[str] | None, typer.Option("--ip", help="IP address by which devices call the gateway.")] = None,
) -> None:
    """Write a first configuration, a PKI and a certificate for the gateway."""
    from proxy.pki.index import PkiError
    from proxy.pki.issuing import IssuingError, Names
    from proxy.pki.safefiles import write_new

    _check_pacs(pacs, aet)
    config, pki_folder = folder / "config.yaml", folder / "pki"
    for path in (config, pki_folder):
        if path.exists() or path.is_symlink():
            raise CommandError(f"{path} exists already and is not overwritten; name another folder")
    try:
        names = Names.parse([*(dns or _own_names()), "localhost"], (), [*(ip or ()), "127.0.0.1"])
        _make_pki(pki_folder, names)
        write_new(config, _configuration(pacs, aet, config, pki_folder).encode())
    except (PkiError, IssuingError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None
    say(f"wrote {config} and {pki_folder} (certificate for {', '.join([*names.dns, *names.ip])})")
    echo = ["echo", f"127.0.0.1:{PORT}", "--tls", "--ca", str(pki_folder / "ca.pem"), "--called", aet]
    for label, verb in (
        ("next:", ["check", "--config", str(config)]),
        ("then:", ["run", "--config", str(config)]),
        ("and beside it:", echo),
    ):
        note(f"{label:<15}{shlex.join(['dicomgate', *verb])}")


def _check_pacs(pacs: str, aet: str) -> None:
    host, port = parse_target(pacs)
    if port == PORT and _is_this_machine(host):
        raise CommandError(
            f"--pacs {pacs}: the gateway itself will listen on port {PORT} of this machine; move the PACS to port 104"
        )
    require_ae_title("--aet", aet)
    if "*" in aet or "?" in aet:
        raise CommandError(f"--aet {aet!r}: give the AE title of one PACS, not a pattern")


def _configuration(pacs: str, aet: str, config: Path, pki_folder: Path) -> str:
    return _CONFIGURATION.substitute(
        aet=yaml_text(aet),
        aet_comment=aet,
        calling=CALLING,
        config=printable(str(config)),
        pacs=yaml_text(pacs),
        pki=printable(str(pki_folder)),
        port=PORT,
    )


def _make_pki(folder: Path, names: "Names") -> None:
    from proxy.pki.authority import Pki

    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    pki = Pki.create(folder, "dicomgate", now)
    pki.issue("gateway", names, now, usage=("server",))
    pki.issue("gateway-rsa", names, now, usage=("server",), key_type="rsa")


def _own_names() -> list[str]:
    from proxy.pki.issuing import IssuingError, Names

    try:
        return list(Names.parse([socket.gethostname()]).dns)
    except IssuingError:  # a host name may be no legal DNS name, for example with an underscore
        return []


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
