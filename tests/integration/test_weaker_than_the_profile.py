"""A client that offers less than the profile requires gets an alert, and the record names what is missing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration import tools
from tests.support.gateway import Gateway
from tests.support.ports import free_port
from tests.support.site import Site, port_of

pytestmark = pytest.mark.peers

PROTOCOL_VERSION, HANDSHAKE_FAILURE = "alert protocol version", "alert handshake failure"

#: options of s_client, its alert, the reason, words in the detail
OPENSSL = {
    "TLS 1.0": (("-tls1", "-cipher", "ALL@SECLEVEL=0"), PROTOCOL_VERSION, "tls_version", "TLS 1.0"),
    "TLS 1.1": (("-tls1_1", "-cipher", "ALL@SECLEVEL=0"), PROTOCOL_VERSION, "tls_version", "TLS 1.1"),
    "RSA key exchange": (("-tls1_2", "-cipher", "AES128-SHA"), HANDSHAKE_FAILURE, "tls_no_shared_cipher", ""),
    "CBC with SHA-1": (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"), HANDSHAKE_FAILURE, "tls_no_shared_cipher", ""),
    "no encryption": (("-tls1_2", "-cipher", "NULL-SHA:@SECLEVEL=0"), HANDSHAKE_FAILURE, "tls_no_shared_cipher", ""),
    "anonymous": (("-tls1_2", "-cipher", "ADH-AES128-SHA:@SECLEVEL=0"), HANDSHAKE_FAILURE, "tls_no_shared_cipher", ""),
}
_NORMAL = "NORMAL:-VERS-ALL:+VERS-TLS1.2"
GNUTLS = {
    "TLS 1.1": ("LEGACY:-VERS-ALL:+VERS-TLS1.1:%COMPAT", "tls_version"),
    "3DES": (f"{_NORMAL}:-CIPHER-ALL:+3DES-CBC", "tls_no_shared_cipher"),
    "static RSA": (f"{_NORMAL}:-KX-ALL:+RSA", "tls_no_shared_cipher"),
    "CBC alone": (f"{_NORMAL}:-CIPHER-ALL:+AES-128-CBC", "tls_no_shared_cipher"),
}


@pytest.fixture
def gateway(tmp_path: Path, start_gateway: Callable[..., Gateway]) -> Gateway:
    return start_gateway(Site(tmp_path / "site", "rsa2048").one_tenant(free_port()))


@pytest.mark.parametrize("case", OPENSSL)
def test_openssl_is_refused(case: str, gateway: Gateway) -> None:
    options, alert, reason, words = OPENSSL[case]
    said = tools.s_client(port_of(gateway.config), *options)
    assert said.code != 0 and alert in said.text, said.text
    record = gateway.wait_for_record()
    assert record["reason"] == reason and words in record["detail"]
    assert "bcp195-rfc8996" in record["detail"]
    assert gateway.metric("tls_handshake_failures_total", reason=reason) == 1


@pytest.mark.parametrize("case", GNUTLS)
def test_gnutls_is_refused(case: str, gateway: Gateway) -> None:
    priority, reason = GNUTLS[case]
    said = tools.gnutls(port_of(gateway.config), priority)
    assert said.code != 0 and "A TLS fatal alert has been received" in said.text, said.text
    assert gateway.wait_for_record()["reason"] == reason


@pytest.mark.parametrize("priority", ["NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-VERS-ALL:+VERS-TLS1.3"])
def test_gnutls_of_today_gets_in(priority: str, gateway: Gateway) -> None:
    said = tools.gnutls(port_of(gateway.config), priority)
    assert "Handshake was completed" in said.text, said.text


def test_the_fallback_signal_is_understood(gateway: Gateway) -> None:
    """RFC 7507: a client that fell back although the server can do better is stopped."""
    said = tools.s_client(port_of(gateway.config), "-tls1_2", "-fallback_scsv")
    assert said.code != 0 and "inappropriate fallback" in said.text, said.text
    gateway.wait_for_record()
