"""openssl s_client gets the certificate of the name that it sends, and the right alert for other names."""

import re
from collections.abc import Callable

import pytest

from tests.integration import tools
from tests.support import certs
from tests.support.gateway import Gateway, configuration
from tests.support.ports import free_port
from tests.support.site import Site

pytestmark = pytest.mark.peers

A, B = "a.example.org", "b.example.org"


def start(site: Site, start_gateway: Callable[..., Gateway], **listener: object) -> tuple[int, Gateway]:
    for name in (A, B):
        site.pair(name, certs.server(name, site.root))
    site.pair("rsa", certs.server(B, site.root, kind="rsa2048"))
    port = free_port()
    peers = [{"aet": "*", "allow": ["all"]}]
    tenants = {
        "a": {"server_names": [A, "*.a.example.org"], "called_aets": ["A"], "upstream": "pacs", "peers": peers,
              "tls": {"certificates": [site.certificate(A)]}},
        "b": {"server_names": [B], "called_aets": ["B"], "upstream": "pacs", "peers": peers,
              "tls": {"certificates": [site.certificate(B), site.certificate("rsa")]}},
    }  # fmt: skip
    config = configuration({"tls": {**site.listener(port), **listener}}, tenants, {"pacs": free_port()})
    return port, start_gateway(config)


def common_name(said: tools.Said) -> str:
    found = re.search(r"^ 0 s:CN = (.*)$", said.text, re.MULTILINE)
    assert found, said.text
    return found[1]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_the_certificate_follows_the_name(version: str, site: Site, start_gateway: Callable[..., Gateway]) -> None:
    port, _ = start(site, start_gateway)
    trust = ("-CAfile", str(site.path("ca.pem")), "-verify_return_error", version)
    for name, expected in ((A, A), (B, B), ("A.Example.ORG", A), ("ct.a.example.org", A), (B + ".", B)):
        said = tools.s_client(port, "-servername", name, *trust)
        assert said.code == 0 and common_name(said) == expected, said.text
    said = tools.s_client(port, "-noservername", *trust)
    assert said.code == 0 and common_name(said) == "gate.example.org", said.text


def test_rsa_and_ecdsa_side_by_side(site: Site, start_gateway: Callable[..., Gateway]) -> None:
    port, _ = start(site, start_gateway)
    for cipher, key in (
        ("ECDHE-RSA-AES128-GCM-SHA256", "rsaEncryption"),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "id-ecPublicKey"),
    ):
        said = tools.s_client(port, "-servername", B, "-tls1_2", "-cipher", cipher)
        assert said.code == 0 and f"PKEY: {key}" in said.text, said.text


@pytest.mark.parametrize(
    ("options", "listener", "alert", "reason"),
    [
        (("-servername", "c.example.org"), {}, "unrecognized name", "sni_unknown"),
        (("-servername", "x.y.a.example.org"), {}, "unrecognized name", "sni_unknown"),
        (("-noservername",), {"without_sni": "reject"}, "handshake failure", "sni_missing"),
    ],
)
def test_other_names_get_an_alert(
    options: tuple[str, ...], listener: dict[str, str], alert: str, reason: str,
    site: Site, start_gateway: Callable[..., Gateway],
) -> None:  # fmt: skip
    port, gateway = start(site, start_gateway, **listener)
    said = tools.s_client(port, *options)
    assert said.code != 0 and alert in said.text, said.text
    assert "no peer certificate available" in said.text
    assert gateway.wait_for_record()["reason"] == reason
