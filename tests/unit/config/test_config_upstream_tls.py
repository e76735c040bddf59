"""`upstreams.*.tls`: its values and its findings."""
# ruff: noqa: E501 - a finding is one line, however long

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config.values import UpstreamTls
from tests.support import certs
from tests.support.configs import PLAIN, findings, load_text, write_pair

DAY = datetime.timedelta(days=1)
ADDRESS = '{servers: [{address: "10.20.0.5:104"}]}'
PATH = "upstreams.pacs"


def valid(first: int, last: int) -> tuple[datetime.datetime, datetime.datetime]:
    return certs.now() + first * DAY, certs.now() + last * DAY


def text(tls: str, address: str = "pacs.example.org:2762") -> str:
    return PLAIN.replace(ADDRESS, f'\n    servers: [{{address: "{address}"}}]\n    tls: {tls}')


OWN = "{ca: ca.pem, certificate: site.pem, key: {file: site.key}}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = certs.ca("Sites", valid=valid(-1, 900))
    (tmp_path / "ca.pem").write_bytes(root.pem)
    write_pair(tmp_path, certs.leaf("site", root, valid=valid(-1, 90)), "site")
    return tmp_path


def settings(folder: Path, tls: str, address: str = "pacs.example.org:2762") -> UpstreamTls:
    loaded = load_text(folder, text(tls, address))
    assert loaded.config is not None, loaded.findings
    found = loaded.config.upstreams["pacs"].tls
    assert found is not None
    return found


def test_every_key_arrives(folder: Path) -> None:
    found = settings(
        folder, "{profile: bcp195-extended, server_name: PACS.Example.org., verify_name: false, " + OWN[1:]
    )
    assert (found.profile, found.server_name, found.verify_name) == ("bcp195-extended", "pacs.example.org", False)
    assert found.ca is not None and found.ca.data == (folder / "ca.pem").read_bytes()
    assert found.certificate is not None
    assert found.certificate.chain.data == (folder / "site.pem").read_bytes()
    assert found.certificate.key.data == (folder / "site.key").read_bytes()
    assert found.where.endswith("config.yaml:16")


def test_the_defaults_verify_all_by_the_system_s_cas(folder: Path) -> None:
    found = settings(folder, "{ca: system}")
    assert (found.profile, found.server_name, found.ca, found.certificate, found.verify_name) == (
        "bcp195-rfc8996", None, None, None, True,
    )  # fmt: skip


def test_the_files_are_watched(folder: Path) -> None:
    files = load_text(folder, text(OWN)).files
    assert {str(folder / name) for name in ("ca.pem", "site.pem", "site.key")} <= set(files)


@pytest.mark.parametrize("address", ["10.20.0.5:2762", "[fd00::5]:2762"])
def test_an_address_has_no_name_to_check(folder: Path, address: str) -> None:
    host = address.rpartition(":")[0].strip("[]")
    assert findings(folder, text("{ca: ca.pem}", address)) == [
        f"E210 config.yaml:15:25: {PATH}.servers.0.address: {host} is an address, and no name is configured for its certificate: "
        "set tls.server_name (to the address, if the certificate contains it), or tls.verify_name: false"
    ]
    for enough in ("server_name: pacs.example.org", f'server_name: "{host}"', "verify_name: false"):
        assert findings(folder, text(f"{{ca: ca.pem, {enough}}}", address)) == []


@pytest.mark.parametrize("name", ["*.example.org", "a b", "pacs:2762", "10.20.0.256"])
def test_a_server_has_one_name(folder: Path, name: str) -> None:
    (found,) = findings(folder, text(f'{{server_name: "{name}"}}'))
    assert found.startswith(f"E110 config.yaml:16:24: {PATH}.tls.server_name: '{name}'")


def other(**changes: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_pair(folder, certs.leaf("site", certs.ca("Sites"), **{"valid": valid(-1, 90), **changes}), "site")  # type: ignore[arg-type]

    return write


def swapped_key(folder: Path) -> None:
    (folder / "site.key").write_bytes(certs.leaf("other", certs.ca("Sites")).key_pem)


def open_key(folder: Path) -> None:
    (folder / "site.key").chmod(0o644)


def old_ca(folder: Path) -> None:
    (folder / "ca.pem").write_bytes(certs.ca("Old", valid=valid(-9, -2)).pem)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda folder: (folder / "ca.pem").unlink(), "E301 config.yaml:16:15: {tls}.ca: ca.pem cannot be read: no such file or directory"),
        (lambda folder: (folder / "ca.pem").write_text("x"), "E302 config.yaml:16:15: {tls}.ca: ca.pem holds no PEM certificate"),
        (lambda folder: (folder / "site.pem").write_text("x"), "E302 config.yaml:16:36: {tls}.certificate: site.pem holds no PEM certificate"),
        (swapped_key, "E303 config.yaml:16:10: {tls}: the certificate in site.pem does not belong to the key in site.key"),
        (open_key, "E304 config.yaml:16:51: {tls}.key: site.key can be read by all users: chmod o-rwx (on Kubernetes set defaultMode: 0440)"),
        (other(valid=valid(-9, -1)), f"E306 config.yaml:16:36: {{tls}}.certificate: site.pem: expired on {valid(-9, -1)[1]:%Y-%m-%d}"),
        (other(valid=valid(-1, 9)), f"W301 config.yaml:16:36: {{tls}}.certificate: site.pem: expires on {valid(-1, 9)[1]:%Y-%m-%d}"),
        (other(kind="rsa1024"), "E307 config.yaml:16:36: {tls}.certificate: site.pem: CN=site: RSA key of 1024 bits; at least 2048 are needed"),
        (other(eku=(certs.SERVER,)), "W303 config.yaml:16:36: {tls}.certificate: site.pem: its extended key usage is without clientAuth; most servers will refuse it"),
        (old_ca, f"W301 config.yaml:16:15: {{tls}}.ca: ca.pem: CN=Old expired on {valid(-9, -2)[1]:%Y-%m-%d}; certificates that it issued are refused"),
    ],
)  # fmt: skip
def test_files_are_checked(folder: Path, spoil: Callable[[Path], None], expected: str) -> None:
    spoil(folder)
    told = [line.replace(f"{folder}/", "") for line in findings(folder, text(OWN))]
    assert told == [expected.replace("{tls}", f"{PATH}.tls")]


def test_a_legacy_profile_takes_the_key_of_its_time(folder: Path) -> None:
    other(kind="rsa1024")(folder)
    assert findings(folder, text("{profile: legacy-bcp195, " + OWN[1:])) == []


def test_the_server_s_own_certificate_is_ca_enough(folder: Path) -> None:
    device = certs.leaf("pacs", certs.ca("Vendor"), eku=(certs.SERVER,), dns=["pacs.example.org"])
    (folder / "ca.pem").write_bytes(device.pem)
    assert findings(folder, text("{ca: ca.pem}")) == []
