import ssl

import pytest

from proxy.tls.client import client_context
from proxy.tls.contexts import ServerContext
from proxy.tls.errors import TlsSetupError
from proxy.tls.profiles import PROFILES
from tests.support import certs
from tests.support.tls_pair import SERVER_NAME, server_root, server_settings, shake_hands

ROOT = certs.ca("Hospital root")
CT1 = certs.leaf("CT1", certs.ca("Issuing", issuer=ROOT))


def test_the_server_is_verified_against_the_given_ca() -> None:
    server = ServerContext(server_settings())
    assert shake_hands(server, client_context(ca=server_root().pem)).client_error is None
    stranger = shake_hands(server, client_context(ca=ROOT.pem)).client_error
    assert isinstance(stranger, ssl.SSLCertVerificationError)
    assert shake_hands(server, client_context(verify=False)).client_error is None


def test_comments_in_a_ca_file_do_no_harm() -> None:
    ca = "# Spital Zürich\n".encode() + server_root().pem
    assert shake_hands(ServerContext(server_settings()), client_context(ca=ca)).client_error is None


def test_the_server_s_own_certificate_is_anchor_enough() -> None:
    own = certs.server(SERVER_NAME, server_root())
    server = ServerContext(server_settings(certificates=[own]))
    assert shake_hands(server, client_context(ca=own.pem)).client_error is None


def test_the_name_is_verified_by_default() -> None:
    server = ServerContext(server_settings(certificates=[certs.server("other.example.org", server_root())]))
    wrong = shake_hands(server, client_context(ca=server_root().pem)).client_error
    assert isinstance(wrong, ssl.SSLCertVerificationError)
    assert wrong.verify_code == 62
    assert shake_hands(server, client_context(ca=server_root().pem, verify_name=False)).client_error is None


def test_the_system_s_cas_do_not_know_a_hospital() -> None:
    error = shake_hands(ServerContext(server_settings()), client_context(ca="system")).client_error
    assert isinstance(error, ssl.SSLCertVerificationError)


def test_a_client_certificate_goes_with_its_intermediates() -> None:
    server = ServerContext(server_settings(mode="required", ca={"hospital": [ROOT]}))
    for key in (CT1.key_pem, None):
        pem = CT1.chain_pem if key else CT1.key_pem + CT1.chain_pem
        offered = client_context(verify=False, certificate=pem, key=key)
        assert shake_hands(server, offered).server_error is None


def test_alpn() -> None:
    server = ServerContext(server_settings())
    assert shake_hands(server, client_context(verify=False)).client.selected_alpn_protocol() is None
    offered = client_context(verify=False, alpn=("dicom",))
    assert shake_hands(server, offered).client.selected_alpn_protocol() == "dicom"


@pytest.mark.parametrize("name", PROFILES)
def test_each_profile_meets_itself(name: str) -> None:
    result = shake_hands(
        ServerContext(server_settings(profile=name)), client_context(PROFILES[name], ca=server_root().pem)
    )
    assert result.client_error is None
    assert result.server_error is None


@pytest.mark.parametrize(
    ("offer", "message"),
    [
        ({"ca": b"rubbish"}, "CA: holds no PEM certificate"),
        ({"ca": b"\0" * 8}, "CA: holds no PEM certificate"),
        ({"ca": b""}, "CA: holds no PEM certificate"),
        ({"certificate": b"rubbish", "key": CT1.key_pem}, "certificate: holds no PEM certificate"),
        ({"certificate": CT1.pem, "key": b""}, "key: holds no PEM private key"),
        ({"certificate": CT1.pem, "key": CT1.encrypted_key_pem(b"secret")}, "key: the key is encrypted"),
    ],
)
def test_unusable_material_is_named(offer: dict[str, bytes], message: str) -> None:
    with pytest.raises(TlsSetupError) as caught:
        client_context(**offer)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
