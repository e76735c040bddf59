"""Row 133: randomness that blocks, and an OpenSSL configured to refuse what the gateway needs."""

import errno
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.archive import Archive
from tests.support.attempts import echo_once
from tests.support.client import client_context
from tests.support.failing_calls import EVERYBODY, FailingCalls
from tests.support.gateway import REPOSITORY, Gateway
from tests.support.pacs import Pacs
from tests.support.processes import PATIENCE, clean_environment
from tests.support.site import Site, port_of
from tests.support.steering import write_to

#: FIPS mode without its provider: every algorithm is to be a validated one, and there is none.
FIPS = """
openssl_conf = init
[init]
providers = providers
alg_section = algorithms
[algorithms]
default_properties = fips=yes
[providers]
base = base
[base]
activate = 1
"""
#: OpenSSL ignores words that it does not know and keeps its defaults.
UNKNOWN = """
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = defaults
[defaults]
MinProtocol = TLSv9.9
CipherString = NOSUCHCIPHER
"""


@pytest.mark.parametrize("verb", ["run", "check", "explain"])
def test_row_133_no_algorithm_is_left(site: Site, tmp_path: Path, verb: str) -> None:
    """Exit code 2, the fault, and where to look. With a validated provider, which is missing here, it starts."""
    settings = tmp_path / "openssl.cnf"
    settings.write_text(FIPS)
    more = ("--calling", "CT1", "--called", "MAINPACS") if verb == "explain" else ()
    said = ask(site, tmp_path, ("env", f"OPENSSL_CONF={settings}"), verb, *more)
    text = said.stdout + said.stderr
    assert said.returncode == 2 and "Traceback" not in text, text
    assert "OpenSSL" in text and "$OPENSSL_CONF" in text and "FIPS" in text, text


def ask(site: Site, tmp_path: Path, launcher: Sequence[str], *verb: str) -> "subprocess.CompletedProcess[str]":
    """A command about a usual configuration."""
    path = tmp_path / "config.yaml"
    write_to(path, site.one_tenant(11112))
    return subprocess.run(
        [*launcher, sys.executable, "-m", "proxy.cli", *verb, "--config", path],
        env=clean_environment({"PYTHONPATH": str(REPOSITORY)}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("text", [UNKNOWN, "no section [ at all"], ids=["unknown words", "no settings"])
def test_row_133_settings_that_openssl_ignores(
    site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway], text: str
) -> None:
    """The profile is the gateway's own."""
    settings = tmp_path / "openssl.cnf"
    settings.write_text(text)
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port)
        start_gateway(config, launcher=("env", f"OPENSSL_CONF={settings}"))
        echo_once(port_of(config), client_context())


@pytest.fixture
def randomness(tmp_path: Path) -> Iterator[FailingCalls]:
    calls = FailingCalls(tmp_path, "getrandom")
    yield calls
    calls.close()


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM], ids=lambda error: errno.errorcode[error])
def test_row_133_getrandom_is_refused(site: Site, tmp_path: Path, randomness: FailingCalls, error: int) -> None:
    """An old kernel or a filter: a worker without another source names OpenSSL and its need; others serve."""
    randomness.fail("getrandom", error, EVERYBODY)
    said = ask(site, tmp_path, randomness.launcher, "check")
    text = said.stdout + said.stderr
    assert randomness.failed["getrandom"] and "Traceback" not in text, text
    assert said.returncode == 0 or (said.returncode == 2 and "OpenSSL" in text and "getrandom" in text), text


def test_row_133_getrandom_blocks(site: Site, tmp_path: Path, randomness: FailingCalls) -> None:
    """Early at boot: the start waits for randomness, and serves nothing before."""
    randomness.block("getrandom")
    threading.Timer(2.0, randomness.recover).start()
    began = time.monotonic()
    serve_once(site, tmp_path, randomness)
    assert time.monotonic() - began > 2.0 and randomness.failed["getrandom"]


def serve_once(site: Site, tmp_path: Path, calls: FailingCalls) -> None:
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(pacs.port)
        gateway = Gateway(tmp_path / "gateway", config, launcher=calls.launcher)
        try:
            echo_once(port_of(config), client_context())
        finally:
            gateway.stop()
