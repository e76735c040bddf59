"""What several verbs take on the command line, read and checked. Every mistake is a CommandError."""

from pathlib import Path

from proxy.cli.output import CommandError


def parse_target(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT."""
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


def check_ae_title(option: str, title: str) -> None:
    """PS3.5 Table 6.2-1."""
    if not (0 < len(title) <= 16 and title.isascii() and title.isprintable() and title.strip() and "\\" not in title):
        raise CommandError(f"{option} {title!r}: an AE title is 1 to 16 printable ASCII characters, without backslash")


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
