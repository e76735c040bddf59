"""Arguments that several verbs share: parsing, checks, files. A mistake raises CommandError."""

from pathlib import Path

from proxy.cli.output import CommandError
from proxy.pdu.ae_title import check_ae_title


def parse_target(text: str) -> tuple[str, int]:
    """Split HOST:PORT into host and port. An IPv6 address is in brackets."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise CommandError(f"{text!r}: an IPv6 address is written in brackets, e.g. [::1]:2762")
    if not colon or not host or not host.isprintable() or " " in host:
        raise CommandError(f"{text!r} is not HOST:PORT, e.g. pacs.example.org:2762")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise CommandError(f"{text!r}: port {port!r} is not in 1..65535")
    return host, int(port)


def require_ae_title(option: str, title: str) -> None:
    """Raise CommandError if the value of an option is not an AE title."""
    problem = check_ae_title(title)
    if problem is not None:
        form = "an AE title is 1 to 16 printable ASCII characters without backslash"
        raise CommandError(f"{option} {title!r}: {problem}; {form}")


def read_file(path: Path) -> bytes:
    """Return the contents of a file. Raises CommandError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
