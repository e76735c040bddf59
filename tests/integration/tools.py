"""openssl and gnutls-cli as clients: one handshake each, and their output."""

import subprocess
from dataclasses import dataclass

from tests.support.listening import need
from tests.support.processes import clean_environment


@dataclass(frozen=True)
class Said:
    """Exit code and all output."""

    code: int
    text: str


def run(*command: str, stdin: bytes = b"", timeout: float = 30) -> Said:
    """Run to the end with this standard input."""
    need(command[0])
    ended = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, env=clean_environment())
    return Said(ended.returncode, (ended.stdout + ended.stderr).decode(errors="replace"))


def s_client(port: int, *options: str, stdin: bytes = b"") -> Said:
    """`openssl s_client` to 127.0.0.1; without input it ends after the handshake."""
    return run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options, stdin=stdin)


def gnutls(port: int, priority: str, *options: str) -> Said:
    """`gnutls-cli` to 127.0.0.1 with a priority string, the server not verified."""
    return run("gnutls-cli", "--insecure", "--priority", priority, "-p", str(port), *options, "127.0.0.1")
