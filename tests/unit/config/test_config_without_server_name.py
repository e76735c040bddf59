"""The revocations of a tenant also apply to clients without SNI, whose handshake the context of the listener makes."""

from pathlib import Path

import pytest

from proxy.config.values import Listener
from proxy.policy import Reason
from proxy.tls.judging import CertificateJudge
from proxy.tls.trust import TrustStore
from tests.support import certs
from tests.support.configs import findings, load_text, write_pair

ROOT = certs.ca("Devices")
ISSUING = certs.ca("Issuing", issuer=ROOT)
CT1 = certs.leaf("ct1", ROOT)
CT2 = certs.leaf("ct2", ISSUING)
STALE = certs.crl(ROOT, last_update=certs.now() - 2 * certs.DAY, next_update=certs.now() - certs.DAY)

TEXT = """\
version: 1
listeners:
  tls:
    bind: ["127.0.0.1:2762"]
    tls:
      certificates: [{chain: pacs.pem, key: {file: pacs.key}}]
      client_auth: LISTENER
tenants:
  hospital:
NAMES    called_aets: [MAINPACS]
    upstream: pacs
    tls: {client_auth: TENANT}
    peers:
      - {aet: CT1, from: [10.20.1.11], allow: [all]}
upstreams:
  pacs: {servers: [{address: "10.20.0.5:104"}]}
"""

SECOND = """\
  clinic:
    called_aets: [CLINIC]
    upstream: pacs
    peers:
      - {aet: CT1, from: [10.20.1.11], allow: [all]}
upstreams:
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    valid = (certs.now() - certs.DAY, certs.now() + 90 * certs.DAY)
    served = certs.leaf(
        "pacs", certs.ca("Server CA"), eku=(certs.SERVER,), dns=["pacs.example.org", "a.example.org"], valid=valid
    )
    write_pair(tmp_path, served, "pacs")
    for name, content in {
        "root.pem": ROOT.pem,
        "issuing.pem": ISSUING.pem,
        "root.crl": certs.crl(ROOT, [CT1]),
        "issuing.crl": certs.crl(ISSUING, [CT2]),
        "stale.crl": STALE,
    }.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def text(listener: str, tenant: str, *, names: str = "") -> str:
    return TEXT.replace("LISTENER", listener).replace("TENANT", tenant).replace("NAMES", names)


def loaded(folder: Path, text: str) -> Listener:
    found = load_text(folder, text)
    assert found.config is not None, found.findings
    return found.config.listeners[0]


def without_server_name(listener: Listener, *chain: certs.Issued) -> Reason | None:
    """Return the reason with which the context of the listener refuses a certificate, or None."""
    assert listener.tls is not None
    judge = CertificateJudge(TrustStore(listener.tls.client_auth), checks_strength=False)
    return judge.judge([one.der for one in chain], certs.now().timestamp()).problem


@pytest.mark.parametrize("names", ["", "    server_names: [a.example.org]\n"])
@pytest.mark.parametrize("revoking", ["crl: root.crl", f"revoked: ['{CT1.sha256}']"], ids=["crl", "revoked"])
def test_leaving_out_the_server_name_evades_no_revocation(folder: Path, names: str, revoking: str) -> None:
    tenant = f"{{ca: root.pem, {revoking}}}"
    listener = loaded(folder, text("{mode: required, ca: from_tenants}", tenant, names=names))
    assert without_server_name(listener, CT1, ROOT) is Reason.CLIENT_CERTIFICATE_REVOKED
    assert without_server_name(listener, certs.leaf("ct3", ROOT), ROOT) is None


def test_a_list_of_a_ca_that_the_tenant_alone_trusts_is_read(folder: Path) -> None:
    tenant = "{ca: issuing.pem, crl: issuing.crl}"
    listener = loaded(folder, text("{mode: required, ca: root.pem}", tenant))
    assert without_server_name(listener, CT2, ISSUING, ROOT) is Reason.CLIENT_CERTIFICATE_REVOKED
    assert without_server_name(listener, CT2, ISSUING) is Reason.CLIENT_CERTIFICATE_WRONG_CA


def test_a_pinned_certificate_is_on_the_list_of_a_ca_that_the_tenant_alone_trusts(folder: Path) -> None:
    (folder / "ct1.pem").write_bytes(CT1.pem)
    pinning = text("{mode: required}", "{ca: root.pem, crl: root.crl}").replace(
        "from: [10.20.1.11]", "cert: {file: [ct1.pem]}"
    )
    assert without_server_name(loaded(folder, pinning), CT1) is Reason.CLIENT_CERTIFICATE_REVOKED


@pytest.mark.parametrize(
    ("of_listener", "of_tenant", "problem"),
    [
        ("", "crl: stale.crl, crl_expired: accept", None),
        ("", "crl: stale.crl", Reason.CLIENT_CERTIFICATE_CRL_STALE),
        (", crl: stale.crl, crl_expired: accept", "crl_expired: refuse", Reason.CLIENT_CERTIFICATE_CRL_STALE),
        (", crl: stale.crl", "crl_expired: accept", Reason.CLIENT_CERTIFICATE_CRL_STALE),
        (", crl: stale.crl, crl_expired: accept", "mode: required", None),
    ],
)
def test_the_strictest_block_with_a_list_decides_on_an_expired_one(
    folder: Path, of_listener: str, of_tenant: str, problem: Reason | None
) -> None:
    listener = loaded(folder, text(f"{{mode: required, ca: root.pem{of_listener}}}", f"{{ca: root.pem, {of_tenant}}}"))
    assert without_server_name(listener, certs.leaf("ct3", ROOT), ROOT) is problem


def test_a_revocation_by_one_tenant_makes_no_other_weaker_than_the_listener(folder: Path) -> None:
    names = "    server_names: [a.example.org]\n"
    written = text("{mode: required, ca: root.pem}", f"{{revoked: ['{CT1.sha256}']}}", names=names)
    clinic = SECOND.replace("    called", "    server_names: [pacs.example.org]\n    called")
    other = written.replace("upstreams:\n", clinic)
    assert findings(folder, other) == []


def test_a_tenant_that_drops_one_of_several_lists_is_weaker(folder: Path) -> None:
    names = "    server_names: [a.example.org]\n"
    listener = "{mode: required, ca: {one: root.pem, two: issuing.pem}, crl: [root.crl, issuing.crl]}"
    assert findings(folder, text(listener, "{crl: [issuing.crl, root.crl]}", names=names)) == []
    assert findings(folder, text(listener, "{ca: issuing.pem, crl: issuing.crl}", names=names)) == []
    assert findings(folder, text(listener, "{crl: issuing.crl}", names=names)) == [
        "W207 config.yaml:13:10: tenants.hospital.tls: weaker than listener tls: "
        "client_auth.crl drops the listener's root.crl"
    ]


def test_a_tenant_without_names_asks_for_no_certificate_where_the_listener_does_not(folder: Path) -> None:
    def told(mode: str) -> list[str]:
        bound = text("{mode: none}", f"{{mode: {mode}, ca: root.pem}}").replace(
            "from: [10.20.1.11]", "cert: {subject_cn: [CT1]}"
        )
        return findings(folder, bound)

    unasked = "listener tls asks for no certificate, and without server_names"
    never = (
        "W202 config.yaml:14:26: tenants.hospital.peers.0.cert: can never match: "
        "no client_auth that applies to this tenant requests certificates"
    )
    place = "W206 config.yaml:12:31: tenants.hospital.tls.client_auth.mode:"
    assert told("optional") == [f"{place} {unasked} this has no effect", never]
    assert told("required") == [f"{place} {unasked} no sender reaches the tenant", never]
    assert told("none") == [never]


def test_a_tenant_on_a_legacy_listener_is_warned_of(folder: Path) -> None:
    def told(*changes: tuple[str, str]) -> list[str]:
        changed = text("{mode: none}", "{mode: none}", names="    server_names: [a.example.org]\n")
        for old, new in (
            ("bind:", "networks: [10.0.0.0/8]\n    bind:"),
            ("      cert", "      profile: legacy-aes\n      cert"),
            *changes,
        ):
            changed = changed.replace(old, new, 1)
        return findings(folder, changed)

    own = ("    tls: {client", "    tls: {profile: bcp195-rfc8996, client")
    assert told() == []
    assert told(own) == [
        "W207 config.yaml:7:16: listeners.tls.tls.profile: without server name the tenant is reached with profile "
        "legacy-aes, not bcp195-rfc8996: set without_sni: reject"
    ]
    assert told(own, ("    bind:", "    without_sni: reject\n    bind:")) == []
