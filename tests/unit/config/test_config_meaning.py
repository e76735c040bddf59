"""Meaning checks: for each code, a configuration that has the finding and a similar one that does not."""
# ruff: noqa: E501 - a finding is one line, however long

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from tests.support import certs
from tests.support.configs import PLAIN, TLS, findings, load_text, write_key, write_pair

DAY = datetime.timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a server certificate, a CA and a device certificate, all without findings."""
    root = certs.ca("Server CA")
    valid = (certs.now() - DAY, certs.now() + 90 * DAY)
    write_pair(tmp_path, certs.leaf("pacs", root, eku=(certs.SERVER,), dns=["pacs.example.org"], valid=valid), "pacs")
    (tmp_path / "ca.pem").write_bytes(certs.ca("Devices").pem)
    (tmp_path / "ct1.pem").write_bytes(certs.self_signed("CT1", valid=valid).pem)
    return tmp_path


def test_the_base_configurations_are_good(folder: Path) -> None:
    assert findings(folder, TLS) == []
    assert findings(folder, PLAIN) == []


def edit(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


TENANT = "  hospital:\n"
LISTENER_TLS = "      certificates: [{chain: pacs.pem, key: {file: pacs.key}}]\n"
SECOND = """\
  clinic:
    called_aets: [CLINIC]
    upstream: pacs
    peers:
      - {aet: MR1, from: [10.20.2.0/24], allow: [all]}
upstreams:
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # names
        (edit(PLAIN, ("tenants: [hospital]", "tenants: [hospitl]")), ["E201 config.yaml:6:15: listeners.plain.tenants.0: no tenant is called 'hospitl'; defined: hospital", "W205 config.yaml:8:3: tenants.hospital: no listener reaches this tenant"]),
        (edit(PLAIN, ("upstream: pacs", "upstream: pax")), ["E201 config.yaml:10:15: tenants.hospital.upstream: no upstream is called 'pax'; defined: pacs"]),
        (edit(PLAIN, ("    peers:", "    routes: {RISWL: ris}\n    peers:")), ["E201 config.yaml:11:21: tenants.hospital.routes.RISWL: no upstream is called 'ris'; defined: pacs"]),
        (edit(TLS, (TENANT, "  x:\n")) .replace("    tls:\n", "    default_tenant: hospital\n    tls:\n"), ["E201 config.yaml:5:21: listeners.tls.default_tenant: no tenant is called 'hospital'; defined: x"]),
        (edit(PLAIN, ("tenants: [hospital]", "tenants: [hospital, hospital]")), ["E203 config.yaml:6:25: listeners.plain.tenants.1: tenant hospital is listed twice"]),
        (edit(TLS, ("allow: [all]}", "allow: [all]}\n      - {aet: [CT1, CT2], from: [10.20.1.12], allow: [all]}")), ["E203 config.yaml:13:9: tenants.hospital.peers.1: another peer is already called CT1: give this one a `name` of its own"]),
        # addresses
        (edit(PLAIN, ('["127.0.0.1:11112"]', '["127.0.0.1:11112", "0.0.0.0:11112"]')), ["E205 config.yaml:4:31: listeners.plain.bind.1: listeners.plain.bind already binds port 11112 of this address"]),
        (PLAIN + 'admin: {listen: "127.0.0.1:11112"}\n', ["E205 config.yaml:15:17: admin.listen: listeners.plain.bind already binds port 11112 of this address"]),
        (edit(PLAIN, ("10.20.0.5:104", "localhost:11112")), ["E209 config.yaml:14:30: upstreams.pacs.servers.0.address: this is the gateway itself (listeners.plain.bind): requests would loop"]),
        (edit(PLAIN, ("10.20.0.5:104", "LOCALHOST.:11112")), ["E209 config.yaml:14:30: upstreams.pacs.servers.0.address: this is the gateway itself (listeners.plain.bind): requests would loop"]),
        (edit(PLAIN, ("127.0.0.1:11112", "0.0.0.0:11112"), ("10.20.0.5:104", "127.0.0.2:11112")), ["E209 config.yaml:14:30: upstreams.pacs.servers.0.address: this is the gateway itself (listeners.plain.bind): requests would loop"]),
        (edit(PLAIN, ("10.20.0.5:104", "0.0.0.0:11112")), ["E209 config.yaml:14:30: upstreams.pacs.servers.0.address: this is the gateway itself (listeners.plain.bind): requests would loop"]),
        (edit(PLAIN, ('["127.0.0.1:11112"]', '["0.0.0.0:11112", "[::]:11112"]'), ("10.20.0.5:104", "127.0.0.2:104")), []),
        # listeners
        (edit(PLAIN, ("    tenants: [hospital]\n", "")), ["E206 config.yaml:3:3: listeners.plain: a plaintext listener must list its `tenants`: only the network protects them"]),
        (edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      profile: legacy-aes\n")), ["E207 config.yaml:7:16: listeners.tls.tls.profile: legacy-aes needs `networks` on the listener"]),
        (edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      profile: legacy-aes\n    networks: [10.20.1.11]\n")), []),
        (edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      profile: legacy-aes\n    networks: [0.0.0.0/0]\n")), ["E207 config.yaml:7:16: listeners.tls.tls.profile: legacy-aes needs `networks` on the listener", "W204 config.yaml:8:16: listeners.tls.networks.0: 0.0.0.0/0 contains every address: write `any` if that is meant"]),
        (edit(TLS, (TENANT, TENANT + "    tls: {profile: legacy-aes}\n    server_names: [pacs.example.org]\n")), ["W207 config.yaml:9:10: tenants.hospital.tls: weaker than listener tls: profile is legacy-aes, the listener's bcp195-rfc8996", "E207 config.yaml:9:20: tenants.hospital.tls.profile: legacy-aes needs `networks` on the listener; tls has none"]),
        (edit(TLS, ("    tls:\n", "    without_sni: reject\n    tls:\n")), ["W206 config.yaml:5:18: listeners.tls.without_sni: no tenant of this listener has server_names: every client is rejected"]),
        (edit(TLS, (TENANT, TENANT + "    server_names: [PACS.example.org.]\n"), ("upstreams:\n", SECOND.replace("called", "server_names: [pacs.example.org]\n    called"))), ["E204 config.yaml:15:20: tenants.clinic.server_names.0: tenant hospital already has this name on listener tls"]),
        (edit(PLAIN, ("[127.0.0.1]", "[0.0.0.0/0]")), ["W204 config.yaml:5:16: listeners.plain.networks.0: 0.0.0.0/0 contains every address: write `any` if that is meant"]),
        (edit(PLAIN, ("[127.0.0.1]", '["::ffff:0:0/96"]')), ["W204 config.yaml:5:16: listeners.plain.networks.0: ::ffff:0:0/96 contains every address: write `any` if that is meant"]),
        (edit(PLAIN, ("CT1, ", 'CT1, from: ["::/0"], ')), ["W202 config.yaml:12:26: tenants.hospital.peers.0.from: can never match: outside the `networks` of every listener that reaches this tenant", "W204 config.yaml:12:27: tenants.hospital.peers.0.from.0: ::/0 contains every address: write `any` if that is meant"]),
        (edit(PLAIN, ("    tenants: [h", "    proxy_protocol: {trusted: [0.0.0.0/0]}\n    tenants: [h")), ["W204 config.yaml:6:32: listeners.plain.proxy_protocol.trusted.0: 0.0.0.0/0 contains every address: any client could claim any source in a PROXY header"]),
        (edit(PLAIN, ('"10.20.0.5:104"}]', '"10.20.0.5:104"}], source_address: 127.0.0.1')), []),
        (edit(PLAIN, ('"10.20.0.5:104"}]', '"pacs:104"}], source_address: 127.0.0.2')), []),
        (edit(PLAIN, ('"10.20.0.5:104"}]', '"10.20.0.5:104"}], source_address: 192.0.2.1')), ["W212 config.yaml:14:65: upstreams.pacs.source_address: this machine cannot dial from 192.0.2.1: Cannot assign requested address; every request would be refused"]),
        (edit(PLAIN, ('"10.20.0.5:104"}]', '"[2001:db8::5]:104"}], source_address: "::ffff:127.0.0.1"')), ["E211 config.yaml:14:69: upstreams.pacs.source_address: 2001:db8::5 cannot be dialled from an IPv4 address"]),
        (edit(PLAIN, ('"10.20.0.5:104"}]', '"PACS.:104"}, {address: "pacs:105"}, {address: "pacs:104"}]')), ["E212 config.yaml:14:77: upstreams.pacs.servers.2.address: the same server as servers.0: a larger `weight` there gives it more associations"]),
        # client certificates
        (edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      client_auth: {mode: required}\n")), ["E208 config.yaml:7:20: listeners.tls.tls.client_auth: client_auth is required and there is neither a `ca` nor a pinned certificate (cert.file of a peer): every sender would be refused"]),
        (edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      client_auth: {mode: required, ca: from_tenants}\n")), ["E208 config.yaml:7:20: listeners.tls.tls.client_auth: client_auth is required and there is neither a `ca` nor a pinned certificate (cert.file of a peer): every sender would be refused"]),
        (edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      client_auth: {mode: optional}\n")), ["W208 config.yaml:7:20: listeners.tls.tls.client_auth: client_auth is optional and there is neither a `ca` nor a pinned certificate (cert.file of a peer): a sender that shows a certificate is refused"]),
        (edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      client_auth: {mode: required, ca: ca.pem}\n")), []),
        (edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      client_auth: {mode: required}\n"), ("from: [10.20.1.11]", "cert: {file: [ct1.pem]}")), []),
        (edit(TLS, (TENANT, TENANT + "    tls: {client_auth: {mode: required, ca: from_tenants}}\n")), ["E208 config.yaml:9:24: tenants.hospital.tls.client_auth: client_auth is required on listener tls and there is neither a `ca` nor a pinned certificate (cert.file of a peer): every sender would be refused", "E110 config.yaml:9:45: tenants.hospital.tls.client_auth.ca: from_tenants is for listeners only: name the CAs of this tenant"]),
        (edit(PLAIN, (TENANT, TENANT + "    tls: {client_auth: {mode: required, ca: ca.pem}}\n")), ["W206 config.yaml:9:31: tenants.hospital.tls.client_auth.mode: never reached through plaintext listener plain, which asks for no certificate"]),
        (edit(TLS, (TENANT, TENANT + "    tls: {profile: bcp195-extended, certificates: [{chain: pacs.pem, key: {file: pacs.key}}]}\n")), ["W206 config.yaml:9:20: tenants.hospital.tls.profile: without server_names this has no effect: the listener's is used", "W206 config.yaml:9:51: tenants.hospital.tls.certificates: without server_names this has no effect: the listener's is used"]),
        (edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      client_auth: {mode: required, ca: ca.pem, revoked: ['" + "ab" * 32 + "']}\n"), (TENANT, TENANT + "    server_names: [pacs.example.org]\n    tls: {client_auth: {mode: optional, crl_expired: accept, revoked: ['" + "cd" * 32 + "']}}\n")), [
            "W207 config.yaml:11:10: tenants.hospital.tls: weaker than listener tls: client_auth.mode is optional, the listener's required",
            "W207 config.yaml:11:10: tenants.hospital.tls: weaker than listener tls: client_auth.revoked leaves out fingerprints of the listener's",
            "W207 config.yaml:11:10: tenants.hospital.tls: weaker than listener tls: client_auth.crl_expired is accept, the listener's refuse"]),
        (edit(TLS, (TENANT, TENANT + "    server_names: [other.example.org, pacs.example.org]\n")), ["W302 config.yaml:9:20: tenants.hospital.server_names.0: other.example.org is not among the DNS names in pacs.pem; senders that check it will refuse"]),
        # peers
        (edit(TLS, ("from: [10.20.1.11]", "cert: {subject_cn: [CT1]}")), ["W202 config.yaml:12:26: tenants.hospital.peers.0.cert: can never match: no client_auth that applies to this tenant requests certificates"]),
        (edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      client_auth: {mode: required, ca: {devices: ca.pem}}\n"), ("from: [10.20.1.11]", "cert: {ca: [devics]}")), ["E201 config.yaml:13:32: tenants.hospital.peers.0.cert.ca.0: no CA of this tenant is called devics; defined: devices"]),
        (edit(TLS, ("from: [10.20.1.11], ", ""), ("127.0.0.1:2762", "0.0.0.0:2762")), ["W203 config.yaml:12:9: tenants.hospital.peers.0: on listener tls any client that claims this AE title is accepted: add `from` or `cert`"]),
        (edit(TLS, ("from: [10.20.1.11], ", "action: refuse, "), ("127.0.0.1:2762", "0.0.0.0:2762")), []),
        (edit(TLS, ("from: [10.20.1.11], ", ""), ("127.0.0.1:2762", "0.0.0.0:2762"), (TENANT, TENANT + "    networks: [10.0.0.0/8]\n")), []),
        (edit(TLS, (TENANT, TENANT + "    networks: [10.30.0.0/16]\n")), ["W202 config.yaml:13:26: tenants.hospital.peers.0.from: can never match: outside the tenant's `networks`"]),
        (edit(PLAIN, ("CT1, ", "CT1, from: [10.20.1.11], ")), ["W202 config.yaml:12:26: tenants.hospital.peers.0.from: can never match: outside the `networks` of every listener that reaches this tenant"]),
        (edit(TLS, ("allow: [all]}", "allow: [all]}\n      - {name: again, aet: CT1, from: [10.20.1.11], cert: {subject_cn: [CT1]}, allow: [all]}"), (LISTENER_TLS, LISTENER_TLS + "      client_auth: {mode: optional, ca: ca.pem}\n")), ["W202 config.yaml:14:9: tenants.hospital.peers.1: can never match: peer CT1 in line 13 matches first"]),
        (edit(TLS, ("allow: [all]}", "allow: [all]}\n      - {name: again, aet: CT1, from: [10.20.1.0/24], allow: [all]}")), []),
        (edit(TLS, ("CT1", '"*"'), ("allow: [all]}", 'allow: [all]}\n      - {aet: "WS*", from: [10.20.1.11], allow: [all]}\n      - {aet: WS1, from: [10.20.1.11], allow: [all]}')), ["W202 config.yaml:13:9: tenants.hospital.peers.1: can never match: peer * in line 12 matches first"]),
        (edit(TLS, (TENANT, TENANT + "    aet_case: fold\n"), ("allow: [all]}", "allow: [all]}\n      - {aet: ct1, from: [10.20.1.11], allow: [all]}")), ["W202 config.yaml:14:9: tenants.hospital.peers.1: can never match: peer CT1 in line 13 matches first"]),
        # operations
        (edit(TLS, ("[all]", "[modality, store_standard]")), ["W209 config.yaml:12:58: tenants.hospital.peers.0.allow.1: store_standard adds nothing to store, which covers private classes too: keep one"]),
        (edit(TLS, ("[all]", "[echo, all, echo]")), ["W209 config.yaml:12:48: tenants.hospital.peers.0.allow.0: echo adds nothing to all", "W209 config.yaml:12:59: tenants.hospital.peers.0.allow.2: echo is listed twice"]),
        (edit(TLS, ("[all]", "[echo, get], sop_classes: [CTImageStorage, ModalityWorklistInformationModelFind, 1.3.12.2.1107.5.9.1, 1.2.840.10008.5.1.4.1.2.2.1]")), ["W210 config.yaml:12:90: tenants.hospital.peers.0.sop_classes.1: allow never permits ModalityWorklistInformationModelFind: add worklist", "W210 config.yaml:12:149: tenants.hospital.peers.0.sop_classes.3: allow never permits StudyRootQueryRetrieveInformationModelFind: add find"]),
        (edit(TLS, ("[all]", "[echo], sop_classes: [1.3.12.2.1107.5.9.1]")), ["W210 config.yaml:12:69: tenants.hospital.peers.0.sop_classes.0: allow never permits 1.3.12.2.1107.5.9.1: add store"]),
        (edit(TLS, ("[all]", "[all], transfer_syntaxes: [ExplicitVRLittleEndian, 1.2.840.113619.5.2]")), ["W211 config.yaml:12:73: tenants.hospital.peers.0.transfer_syntaxes: ImplicitVRLittleEndian is missing: some devices support nothing else (PS3.5 section 10.1)"]),
        (edit(TLS, ("[all]", "[all], transfer_syntaxes: [JPEGLossless, 1.2.840.10008.1.2]")), []),
        (edit(TLS, ("[all]", "[find, get], move_destinations: [self, AI]")), ["W206 config.yaml:12:79: tenants.hospital.peers.0.move_destinations: without effect: allow does not contain move"]),
        (edit(TLS, ("[all]", "[viewer], move_destinations: any")), []),
        # tenants apart
        (edit(TLS, ("upstreams:\n", SECOND)), []),
        (edit(TLS, ("upstreams:\n", SECOND.replace("[CLINIC]", "any"))), ["W201 config.yaml:3:3: listeners.tls: without SNI tenants hospital and clinic cannot be told apart for called AE title MAINPACS: their networks overlap"]),
        (edit(TLS, ("upstreams:\n", SECOND.replace("[CLINIC]", "[CLINIC]\n    routes: {MAINPACS: pacs}"))), ["W201 config.yaml:3:3: listeners.tls: without SNI tenants hospital and clinic cannot be told apart for called AE title MAINPACS: their networks overlap"]),
        (edit(TLS, ("upstreams:\n", SECOND.replace("[CLINIC]", "[mainpacs]\n    aet_case: fold"))), ["W201 config.yaml:3:3: listeners.tls: without SNI tenants hospital and clinic cannot be told apart for called AE title MAINPACS: their networks overlap"]),
        (edit(TLS, (TENANT, TENANT + "    networks: [10.20.1.0/24]\n"), ("upstreams:\n", SECOND.replace("[CLINIC]", "any\n    networks: [10.20.2.0/24]"))), []),
    ],
)  # fmt: skip
def test_each_meaning_check(folder: Path, text: str, expected: list[str]) -> None:
    told = findings(folder, text)
    assert told == expected
    if not any(line.startswith("E") for line in told):
        assert load_text(folder, text).config is not None


def replace_server(**options: object) -> Callable[[Path], None]:
    def replace(folder: Path) -> None:
        issued = certs.leaf("pacs", certs.ca("Server CA"), **{"eku": (certs.SERVER,), **options})  # type: ignore[arg-type]
        write_pair(folder, issued, "pacs")

    return replace


NOW = certs.now()  # a constant: a minute may end between the collection of these tests and their run


def valid(start: int, end: int) -> tuple[datetime.datetime, datetime.datetime]:
    return NOW + start * DAY, NOW + end * DAY


def open_to_all(folder: Path) -> None:
    (folder / "pacs.key").chmod(0o644)


def encrypt(folder: Path) -> None:
    write_key(folder / "pacs.key", certs.leaf("pacs", certs.ca("Server CA")).encrypted_key_pem(b"secret"))


def der(folder: Path) -> None:
    (folder / "pacs.pem").write_bytes(certs.self_signed("pacs").der)


def pkcs12(folder: Path) -> None:
    made = certs.self_signed("pacs")
    key = serialization.load_pem_private_key(made.key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    data = serialize_key_and_certificates(b"pacs", key, made.certificate, None, serialization.NoEncryption())
    (folder / "pacs.pem").write_bytes(data)


CHAIN = "listeners.tls.tls.certificates.0"


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda folder: (folder / "pacs.pem").unlink(), f"E301 config.yaml:6:30: {CHAIN}.chain: pacs.pem cannot be read: no such file or directory"),
        (lambda folder: (folder / "pacs.pem").write_text("half-writ"), f"E302 config.yaml:6:30: {CHAIN}.chain: pacs.pem holds no PEM certificate"),
        (lambda folder: (folder / "pacs.pem").write_bytes((folder / "pacs.key").read_bytes()),
         f"E302 config.yaml:6:30: {CHAIN}.chain: pacs.pem holds no PEM certificate: it holds PRIVATE KEY"),
        (der, f"E302 config.yaml:6:30: {CHAIN}.chain: pacs.pem holds no PEM certificate: it looks like DER, convert it with `openssl x509 -inform DER`"),
        (pkcs12, f"E302 config.yaml:6:30: {CHAIN}.chain: pacs.pem holds no PEM certificate: it is PKCS#12, take them out with "
         "`openssl pkcs12 -in FILE -nokeys -out chain.pem`"),
        (lambda folder: (folder / "pacs.key").write_text("x"), f"E302 config.yaml:6:45: {CHAIN}.key: pacs.key holds no PEM private key that can be read"),
        (lambda folder: (folder / "pacs.key").write_bytes((folder / "pacs.pem").read_bytes()),
         f"E302 config.yaml:6:45: {CHAIN}.key: pacs.key holds no PEM private key that can be read: it holds CERTIFICATE"),
        (lambda folder: (folder / "pacs.key").write_bytes(certs.ca("Other").key_pem), f"E303 config.yaml:6:22: {CHAIN}: the certificate in pacs.pem does not belong to the key in pacs.key"),
        (open_to_all, f"E304 config.yaml:6:45: {CHAIN}.key: pacs.key can be read by all users: chmod o-rwx (on Kubernetes set defaultMode: 0440)"),
        (encrypt, f"E305 config.yaml:6:45: {CHAIN}.key: pacs.key is encrypted, and a service cannot ask for its password: "
         "decrypt it with `openssl pkey -in FILE -out NEW`"),
        (replace_server(valid=valid(-10, -1)), f"E306 config.yaml:6:22: {CHAIN}: pacs.pem: expired on {valid(-10, -1)[1]:%Y-%m-%d}"),
        (replace_server(valid=valid(2, 90)), f"E306 config.yaml:6:22: {CHAIN}: pacs.pem: not valid before {valid(2, 90)[0]:%Y-%m-%d %H:%M} UTC"),
        (replace_server(valid=valid(-1, 10)), f"W301 config.yaml:6:22: {CHAIN}: pacs.pem: expires on {valid(-1, 10)[1]:%Y-%m-%d}"),
        (replace_server(valid=valid(-1, 90), kind="rsa1024"), f"E307 config.yaml:6:22: {CHAIN}: pacs.pem: CN=pacs: RSA key of 1024 bits; at least 2048 are needed"),
        (replace_server(valid=valid(-1, 90), kind="p224"), f"E307 config.yaml:6:22: {CHAIN}: pacs.pem: CN=pacs: EC key of 224 bits; at least 256 are needed"),
        (replace_server(valid=valid(-1, 90), kind="ed25519"), f"W303 config.yaml:6:22: {CHAIN}: pacs.pem: DCMTK and programs built on it cannot verify Ed25519 and Ed448 certificates"),
        (replace_server(valid=valid(-1, 90), eku=(certs.CLIENT,)), f"W303 config.yaml:6:22: {CHAIN}: pacs.pem: its extended key usage is without serverAuth; many senders will refuse it"),
    ],
)  # fmt: skip
def test_server_certificates_are_checked(folder: Path, spoil: Callable[[Path], None], expected: str) -> None:
    spoil(folder)
    told = [line.replace(f"{folder}/", "") for line in findings(folder, TLS)]
    assert told == [expected]


def test_legacy_profiles_take_the_keys_of_their_time(folder: Path) -> None:
    replace_server(valid=valid(-1, 90), kind="rsa1024")(folder)
    text = edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      profile: legacy-bcp195\n    networks: [10.20.1.11]\n"))
    assert findings(folder, text) == []


def test_a_sha1_signature_is_weak_on_a_certificate_but_not_on_a_root(folder: Path) -> None:
    root = certs.ca("Old CA", kind="rsa2048")
    sha1 = certs.sha1_signed(certs.leaf("pacs", root, eku=(certs.SERVER,), valid=valid(-1, 90)))
    write_pair(folder, sha1, "pacs")
    assert findings(folder, TLS) == [
        f"E307 config.yaml:6:22: {CHAIN}: pacs.pem: CN=pacs: signed with SHA-1; SHA-2 is needed"
    ]


def test_keys_come_from_the_environment_and_from_systemd(folder: Path) -> None:
    key = (folder / "pacs.key").read_text()
    by_env = edit(TLS, ("{file: pacs.key}", "{env: PACS_KEY}"))
    assert findings(folder, by_env, {"PACS_KEY": key}) == []
    assert findings(folder, by_env) == [f"E310 config.yaml:6:45: {CHAIN}.key: environment variable PACS_KEY is not set"]
    by_credential = edit(TLS, ("{file: pacs.key}", "{credential: pacs.key}"))
    assert findings(folder, by_credential, {"CREDENTIALS_DIRECTORY": str(folder)}) == []
    assert findings(folder, by_credential) == [
        f"E310 config.yaml:6:45: {CHAIN}.key: $CREDENTIALS_DIRECTORY is not set: only a systemd unit with LoadCredential= has it"
    ]


WITH_CA = edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      client_auth: {mode: required, ca: ca.pem, crl: crl.pem}\n"))


def test_only_cas_are_cas(folder: Path) -> None:
    device = certs.leaf("CT1", certs.ca("Devices"))
    (folder / "ca.pem").write_bytes(device.pem)
    assert findings(folder, WITH_CA.replace(", crl: crl.pem", "")) == [
        "E308 config.yaml:7:41: listeners.tls.tls.client_auth.ca: ca.pem: CN=CT1 is a device certificate (CA:FALSE), not a CA; put it under cert.file of its peer"
    ]
    (folder / "ca.pem").write_bytes(b"")
    assert findings(folder, WITH_CA.replace(", crl: crl.pem", "")) == [
        "E302 config.yaml:7:41: listeners.tls.tls.client_auth.ca: ca.pem holds no PEM certificate"
    ]
    (folder / "ca.pem").write_bytes(certs.ca("Devices", valid=valid(-10, -1)).pem)
    assert findings(folder, WITH_CA.replace(", crl: crl.pem", "")) == [
        f"W301 config.yaml:7:41: listeners.tls.tls.client_auth.ca: ca.pem: CA CN=Devices expired on {valid(-10, -1)[1]:%Y-%m-%d}; its certificates are refused"
    ]


def test_crls_are_checked(folder: Path) -> None:
    devices = certs.ca("Devices")
    where = "config.yaml:7:54: listeners.tls.tls.client_auth.crl"
    ended = certs.now() - DAY
    for data, expected in (
        (certs.crl(devices), []),
        (certs.crl(devices)[:200], [f"E309 {where}: crl.pem holds no CRL that can be read (the PEM block X509 CRL is cut off)"]),
        (certs.crl(certs.ca("Other")), [f"E309 {where}: crl.pem: the issuer of the CRL, CN=Other, is not among the CAs in client_auth.ca"]),
        (certs.crl(devices, signed_by=certs.ca("Other")), [f"E309 {where}: crl.pem: the CRL of CN=Devices is not signed by the CA of that name"]),
        (certs.crl(devices, last_update=ended - DAY, next_update=ended), [f"W305 {where}: crl.pem: the CRL of CN=Devices ended on {ended:%Y-%m-%d}; the certificates of this CA are refused"]),
    ):  # fmt: skip
        (folder / "crl.pem").write_bytes(data)
        assert findings(folder, WITH_CA) == expected


@pytest.mark.parametrize(
    ("device", "why"),
    [
        (lambda: certs.self_signed("CT1", valid=valid(-10, -1)), f"expired on {valid(-10, -1)[1]:%Y-%m-%d}"),
        (lambda: certs.self_signed("CT1", valid=valid(2, 9)), f"not valid before {valid(2, 9)[0]:%Y-%m-%d %H:%M} UTC"),
        (lambda: certs.leaf("CT1", certs.ca("X"), eku=(certs.SERVER,)), "its extended key usage is without clientAuth"),
        (lambda: certs.self_signed("CT1", kind="rsa1024"), "RSA key of 1024 bits; at least 2048 are needed"),
    ],
)  # fmt: skip
def test_pinned_certificates_that_will_be_refused_are_reported(
    folder: Path, device: Callable[[], certs.Issued], why: str
) -> None:
    (folder / "ct1.pem").write_bytes(device().pem)
    text = edit(TLS, (LISTENER_TLS, LISTENER_TLS + "      client_auth: {mode: required}\n"), ("from: [10.20.1.11]", "cert: {file: [ct1.pem]}"))  # fmt: skip
    assert findings(folder, text) == [
        f"W304 config.yaml:13:34: tenants.hospital.peers.0.cert.file.0: ct1.pem: CN=CT1 will be refused: {why}"
    ]


def test_a_pinned_file_is_one_device(folder: Path) -> None:
    pem = (folder / "ct1.pem").read_bytes()
    (folder / "ct1.pem").write_bytes(pem + certs.self_signed("CT2").pem)
    text = edit(TLS, ("from: [10.20.1.11]", "cert: {file: [ct1.pem]}"))
    assert findings(folder, text)[1] == (
        "E302 config.yaml:12:34: tenants.hospital.peers.0.cert.file.0: ct1.pem holds 2 certificates; give each device a file of its own"
    )
