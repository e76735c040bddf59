"""`dicomgate import`: the configuration of a gateway that admits the senders that an Orthanc admits.

Parsing and conversion are pure (proxy/orthanc). This file reads and writes files, and looks names up.
"""

import ipaddress
import os
import shlex
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.arguments import read_file
from proxy.cli.output import CommandError, note, say
from proxy.config.quoting import printable

if TYPE_CHECKING:
    from proxy.orthanc.model import DicomTls, Orthanc
    from proxy.orthanc.text import OrthancText
    from proxy.orthanc.trust import Bundle, Trust

_DEFAULT_FOLDER = "certificates"


def command(
    source: Annotated[
        Path, typer.Argument(metavar="ORTHANC.JSON", help="Orthanc's configuration: a file or a folder.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: standard output.")
    ] = None,
    certificates: Annotated[
        Path | None,
        typer.Option(
            "--certificates",
            metavar="DIR",
            help=f"Folder for DicomTlsTrustedCertificates, one file each; default: {_DEFAULT_FOLDER} beside --output.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    pacs: Annotated[
        str | None,
        typer.Option("--pacs", metavar="HOST:PORT", help="Address of Orthanc; default: 127.0.0.1:DicomPort."),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen", metavar="ADDRESS:PORT", help="For the gateway; default: port 2762, or 11112 without TLS."
        ),
    ] = None,
) -> None:
    """Convert an Orthanc configuration to one with the same decisions. Exit code 2: not Orthanc's, or with errors."""
    from proxy.orthanc.model import read_orthanc
    from proxy.orthanc.peers import host_names, make_peers
    from proxy.orthanc.text import OrthancError
    from proxy.orthanc.yaml import Surroundings, default_bind, render

    if output is not None and not force and os.path.lexists(output):
        raise CommandError(f"{output} exists already; --force replaces it")
    text = _read(source)
    # All input is read and checked before the first file is written: an error in the input leaves no file.
    try:
        orthanc = read_orthanc(text.values)
    except OrthancError as error:
        raise _refusal(f"{source}: {problem}" for problem in error.problems) from None
    bind = _listen(listen) if listen else default_bind(orthanc)
    upstream = _upstream(pacs, orthanc, bind)
    base = source if source.is_dir() else source.parent
    bundle, trust, files = _trust(orthanc, base, output, certificates)
    peers = make_peers(orthanc, {host: _resolve(host) for host in host_names(orthanc)}, trust)
    own = _own_certificate(orthanc.tls, base)
    around = Surroundings(source.name or str(source), bind, upstream, *own, remarks=_remarks(text))
    yaml, urgent = render(orthanc, peers, trust, bundle, around)
    _write_certificates(files, force)
    if output is None:
        say(yaml.removesuffix("\n"))
    else:
        _write(output, yaml.encode(), force)
        note(f"wrote {output}")
    for remark in urgent:
        note(f"check this: {remark}", "yellow")
    note(f"next: dicomgate check --config {shlex.quote(printable(str(output)) if output else 'FILE')}")


def _read(source: Path) -> "OrthancText":
    from proxy.orthanc.text import OrthancError, read_text

    paths = [source]
    if source.is_dir():
        paths = sorted(path for path in source.iterdir() if path.suffix.lower() == ".json" and not path.is_dir())
        if not paths:
            raise CommandError(f"{source}: no file in this folder ends in .json")
    try:
        return read_text({str(path): read_file(path) for path in paths}, os.environ)
    except OrthancError as error:
        raise _refusal(error.problems) from None


def _refusal(problems: Iterable[str]) -> CommandError:
    """Print all problems but the last, and return the last as the error that ends the command."""
    *others, last = map(printable, problems)
    for problem in others:
        note(problem)
    return CommandError(last)


def _remarks(text: "OrthancText") -> tuple[str, ...]:
    unset = [f"Environment variable {name} is not set; it is read as empty, as Orthanc does." for name in text.unset]
    repeated = [f"Key {key} appears twice; the last one counts, as in Orthanc." for key in text.repeated]
    return (*unset, *repeated)


def _listen(text: str) -> str:
    from proxy.config.hosts import local_address

    try:
        local_address(text)
    except ValueError as error:
        raise CommandError(f"--listen {error}") from None
    return text


def _upstream(pacs: str | None, orthanc: "Orthanc", bind: str) -> str:
    from proxy.config.hosts import local_address, remote_address

    target = pacs or f"127.0.0.1:{orthanc.port}"
    try:
        host, port = remote_address(target)
    except ValueError as error:
        raise CommandError(f"--pacs {error}") from None
    if port == local_address(bind)[1] and host in ("127.0.0.1", "::1", "localhost"):
        raise CommandError(
            f"the gateway would listen on Orthanc's own port {port}: give Orthanc another DicomPort and name it with "
            "--pacs HOST:PORT, or give the gateway another port with --listen ADDRESS:PORT"
        )
    return target


def _resolve(host: str) -> list[str]:
    """Return the addresses of a name; an empty list if it does not resolve."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    addresses = {ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found}
    return [str(address) for address in sorted(addresses, key=lambda a: (a.version, int(a)))]


def _path(text: str, base: Path) -> str:
    """Return the absolute path. Orthanc resolves it in its working directory, which is unknown here: take `base`."""
    if not text.isprintable():
        raise CommandError(f"{printable(text)!r}: a path must consist of printable characters")
    return os.path.abspath(base / text)


def _own_certificate(tls: "DicomTls | None", base: Path) -> tuple[str, str]:
    return ("", "") if tls is None else (_path(tls.certificate, base), _path(tls.private_key, base))


def _trust(
    orthanc: "Orthanc", base: Path, output: Path | None, folder: Path | None
) -> tuple["Bundle", "Trust", dict[Path, bytes]]:
    """Return the certificates of DicomTlsTrustedCertificates sorted, how they are trusted, and the files to write."""
    from proxy.orthanc.trust import Bundle, Trust, file_name, make_trust, sort_bundle
    from proxy.x509.files import read_certificates

    if orthanc.tls is None or not orthanc.tls.certificate_required:
        return Bundle(), Trust(), {}
    path = _path(orthanc.tls.trusted, base)
    try:
        bundle = sort_bundle(read_certificates(read_file(Path(path))))
    except ValueError as error:
        raise CommandError(f"{path} {error}") from None
    if not bundle.authorities and not bundle.devices:
        raise CommandError(f"{path} holds neither a CA nor a self-signed certificate: no sender would be admitted")
    if folder is None and output is not None:
        folder = output.parent / _DEFAULT_FOLDER
    if folder is None:
        raise CommandError(
            f"the certificates of {path} become separate files: give --output FILE or --certificates DIR"
        )
    files = {folder / file_name(item): item.pem for item in bundle.devices}
    pinned = {item.sha256: _from_output(folder / file_name(item), output) for item in bundle.devices}
    ca_file = ""
    if bundle.authorities:
        files[folder / "ca.pem"] = b"".join(item.pem for item in bundle.authorities)
        ca_file = _from_output(folder / "ca.pem", output)
    return bundle, make_trust(bundle, orthanc.modalities, pinned, ca_file), files


def _from_output(path: Path, output: Path | None) -> str:
    """Return the path as the configuration names it: relative to the output file, or absolute without one."""
    return os.path.abspath(path) if output is None else os.path.relpath(path, output.parent)


def _write_certificates(files: dict[Path, bytes], force: bool) -> None:
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.is_file() and path.read_bytes() == data):  # a second import needs no --force for the same files
            _write(path, data, force)
    for folder in dict.fromkeys(path.parent for path in files):
        written = sum(path.parent == folder for path in files)
        note(f"wrote {folder}: {written} certificate file{'' if written == 1 else 's'}")


def _write(path: Path, data: bytes, force: bool) -> None:
    from proxy.pki.safefiles import replace, write_new

    try:
        (replace if force else write_new)(path, data)
    except FileExistsError:
        raise CommandError(f"{path} exists already; --force replaces it") from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
