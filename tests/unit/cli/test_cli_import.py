"""`dicomgate import`: writes a configuration that loads, overwrites nothing, admits no sender by mistake."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import importing
from proxy.cli.__main__ import main
from proxy.config.load import Loaded, load
from tests.support import certs
from tests.support.configs import write_key
from tests.support.orthanc_import import as_built, values, write_orthanc

ROOM = values(("ct", "CT1", "10.0.0.5"), ("mr", "MR1", "10.0.0.6"), DicomCheckModalityHost=True)


def built(path: Path) -> Loaded:
    """Load the written configuration, without the keys that this version does not support."""
    path.write_text(as_built(path.read_text()))
    return load(path, environ={})


def findings_of(loaded: Loaded) -> list[str]:
    return [f"{finding.code} {finding.path}" for finding in loaded.findings]


def test_the_result_is_on_standard_output_and_remarks_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_orthanc(tmp_path, {**ROOM, "DicomAlwaysAllowEhco": False})
    assert main(["import", str(source)]) == 0
    captured = capsys.readouterr()
    (tmp_path / "config.yaml").write_text(captured.out)
    bare = [f"W203 tenants.orthanc.peers.{index}" for index in (1, 3, 4)]
    assert findings_of(built(tmp_path / "config.yaml")) == bare
    assert "check warns of it (W203)" in captured.out
    assert "check this: DicomAlwaysAllowEhco: " in captured.err
    assert "next: dicomgate check --config FILE" in captured.err
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".yaml"] == ["orthanc.json"]


def test_an_existing_file_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = write_orthanc(tmp_path, ROOM), tmp_path / "config.yaml"
    assert main(["import", str(source), "--output", str(target)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"wrote {target}\n" in captured.err
    assert f"next: dicomgate check --config {target}\n" in captured.err
    target.write_text("mine")
    assert main(["import", str(source), "-o", str(target)]) == 2
    assert f"{target} exists already; --force replaces it" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert main(["import", str(source), "-o", str(target), "--force"]) == 0
    assert built(target).config is not None


def test_a_dangling_link_counts_as_an_existing_file(tmp_path: Path) -> None:
    target = tmp_path / "config.yaml"
    target.symlink_to(tmp_path / "elsewhere")
    assert main(["import", str(write_orthanc(tmp_path, ROOM)), "-o", str(target)]) == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_with_comments_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "orthanc"
    folder.mkdir()
    write_orthanc(folder, '{"DicomModalities": {"ct": ["${CT_AET}", "10.0.0.5", 104],} /* rooms */}', "rooms.JSON")
    write_orthanc(folder, '{"DicomAet": "MAIN", "DicomCheckCalledAet": true} // http://x', "server.json")
    write_orthanc(folder, "not read", "notes.txt")
    monkeypatch.setenv("CT_AET", "CT1")
    assert main(["import", str(folder), "-o", str(tmp_path / "config.yaml")]) == 0
    config = built(tmp_path / "config.yaml").config
    assert config is not None
    tenant = config.tenants["orthanc"]
    assert tenant.called_aets == {"MAIN"}
    assert [peer.aet for peer in tenant.peers] == [("CT1",), ("*",)]


def test_remarks_of_reading_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '{"Name": "${NOT_SET_ANYWHERE}", "DicomModalities": {}, "DicomModalities": {}}'
    assert main(["import", str(write_orthanc(tmp_path, text))]) == 0
    captured = capsys.readouterr()
    for words in ("Environment variable NOT_SET_ANYWHERE is not set", "Key DicomModalities appears twice"):
        assert words in captured.err
        assert words in captured.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["orthanc.json: not JSON: line 1"]),
        ("[]", ["not an Orthanc configuration"]),
        ('{"version": 1}', ["it has no key of Orthanc's"]),
        (
            '{"DicomPort": "x", "DicomAet": 1}',
            ["DicomPort: 'x' is not a whole number", "DicomAet: '1' is not a string"],
        ),
        ('{"DicomModalities": {"\x1b[31m": 1}}', ["\\x1b[31m"]),
    ],
)
def test_bad_input_is_reported_with_exit_code_2(
    text: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(write_orthanc(tmp_path, text)), "-o", str(tmp_path / "config.yaml")]) == 2
    captured = capsys.readouterr()
    assert all(word in captured.err for word in words), captured.err
    assert "\x1b" not in captured.err
    assert not (tmp_path / "config.yaml").exists()


def test_a_missing_source_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(tmp_path / "none.json")]) == 2
    assert "none.json: No such file or directory" in capsys.readouterr().err
    assert main(["import", str(tmp_path)]) == 2
    assert "no file in this folder ends in .json" in capsys.readouterr().err


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "options", "code", "words"),
    [
        (4242, [], 0, 'bind: ["0.0.0.0:11112"]'),
        (4242, [], 0, 'address: "127.0.0.1:4242"'),
        (4242, ["--pacs", "10.0.0.1:104", "--listen", "[::]:104"], 0, 'bind: ["[::]:104"]'),
        (11112, [], 2, "the gateway would listen on Orthanc's own port 11112"),
        (11112, ["--pacs", "localhost:11113"], 0, 'address: "localhost:11113"'),
        (11112, ["--listen", "0.0.0.0:104"], 0, 'address: "127.0.0.1:11112"'),
        (4242, ["--listen", "gate:104"], 2, "--listen 'gate:104': write an address and a port"),
        (4242, ["--pacs", "pacs"], 2, "--pacs 'pacs': write host:port"),
    ],
)
def test_the_addresses_to_listen_on_and_to_dial(
    port: int, options: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_orthanc(tmp_path, {**ROOM, "DicomPort": port})
    assert main(["import", str(source), *options]) == code
    captured = capsys.readouterr()
    assert words in captured.out + captured.err


def test_hosts_are_resolved_once_and_only_where_they_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = list[str]()

    def resolve(host: str) -> list[str]:
        asked.append(host)
        return ["10.0.0.7"] if host == "ct" else []

    monkeypatch.setattr(importing, "_resolve", resolve)
    hosts = values(("a", "A", "ct"), ("b", "B", "ct"), ("c", "C", "gone"), ("d", "D", "10.0.0.9"))
    source = write_orthanc(tmp_path, hosts)
    assert main(["import", str(source)]) == 0
    assert asked == []
    source = write_orthanc(tmp_path, {**hosts, "DicomCheckModalityHost": True})
    capsys.readouterr()
    assert main(["import", str(source)]) == 0
    captured = capsys.readouterr()
    assert asked == ["ct", "gone"]
    assert captured.out.count("from: [10.0.0.7]") == 2
    assert "check this: Modality c: Host 'gone' did not resolve: left out" in captured.err


def test_an_address_resolves_to_itself_and_nonsense_to_nothing() -> None:
    assert importing._resolve("127.0.0.1") == ["127.0.0.1"]
    assert importing._resolve("a..b") == []
    assert importing._resolve("x" * 300) == []


# --- TLS ------------------------------------------------------------------------------------------------------------

CA = certs.ca("Hospital CA")
VALID = (certs.now() - certs.DAY, certs.now() + 90 * certs.DAY)


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Path]:
    """Writes an Orthanc with TLS to its own folder: configuration, certificates, key, trusted certificates."""

    def write(*trusted: certs.Issued, **options: Any) -> Path:
        folder = tmp_path / "orthanc"
        folder.mkdir()
        server = certs.leaf("gate", CA, eku=[certs.SERVER], dns=["gate.example.org"], valid=VALID)
        (folder / "orthanc.crt").write_bytes(server.pem)
        write_key(folder / "orthanc.key", server.key_pem)
        (folder / "trusted.crt").write_bytes(b"".join(item.pem for item in trusted))
        tls = {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": "orthanc.crt",
            "DicomTlsPrivateKey": "orthanc.key",
            "DicomTlsTrustedCertificates": "trusted.crt",
        }
        return write_orthanc(folder, {**ROOM, **tls, **options})

    return write


CT1, MR1, OTHER = (certs.self_signed(name, valid=VALID) for name in ("CT1", "MR1", "OTHER"))


def test_self_signed_certificates_are_pinned(site: Callable[..., Path], tmp_path: Path) -> None:
    target = tmp_path / "gate" / "config.yaml"
    target.parent.mkdir()
    assert main(["import", str(site(CT1, OTHER)), "-o", str(target)]) == 0
    written = {path.name: path.read_bytes() for path in (target.parent / "certificates").iterdir()}
    assert sorted(written) == [f"ct1-{CT1.sha256[:8]}.pem", f"other-{OTHER.sha256[:8]}.pem"]
    assert set(written.values()) == {CT1.pem, OTHER.pem}
    loaded = built(target)
    assert findings_of(loaded) == []
    assert loaded.config is not None
    pins = {peer.name: peer.cert and peer.cert.file for peer in loaded.config.tenants["orthanc"].peers}
    assert pins["ct"] == pins["ct-elsewhere"] == {CT1.sha256}
    assert pins["mr"] == {OTHER.sha256}
    assert pins["anybody"] == {CT1.sha256, OTHER.sha256}
    [listener] = loaded.config.listeners
    assert listener.bind == (("0.0.0.0", 2762),)
    assert listener.policy.client_auth.mode == "required"
    assert main(["check", "--config", str(target), "--strict"]) == 0


def test_cas_stay_cas(site: Callable[..., Path], tmp_path: Path) -> None:
    target = tmp_path / "config.yaml"
    assert main(["import", str(site(CA, certs.leaf("LOST", CA))), "-o", str(target)]) == 0
    assert (tmp_path / "certificates/ca.pem").read_bytes() == CA.pem
    assert "Left out: CN=LOST is neither a CA nor self-signed" in target.read_text()
    assert findings_of(built(target)) == []


def test_a_ca_beside_a_device(site: Callable[..., Path], tmp_path: Path) -> None:
    target = tmp_path / "config.yaml"
    assert main(["import", str(site(CA, CT1)), "-o", str(target)]) == 0
    assert findings_of(built(target)) == []


def test_no_certificate_is_asked_for_if_orthanc_asks_for_none(site: Callable[..., Path], tmp_path: Path) -> None:
    target = tmp_path / "config.yaml"
    assert main(["import", str(site(CT1, DicomTlsRemoteCertificateRequired=False)), "-o", str(target)]) == 0
    assert not (tmp_path / "certificates").exists()
    loaded = built(target)
    assert loaded.config is not None
    assert loaded.config.listeners[0].policy.client_auth.mode == "none"
    assert {finding.code for finding in loaded.findings} == {"W203"}


def test_certificates_go_to_the_given_folder_and_overwrite_nothing(
    site: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = site(CT1)
    assert main(["import", str(source)]) == 2
    assert "give --output FILE or --certificates DIR" in capsys.readouterr().err
    folder = tmp_path / "pins"
    arguments = ["import", str(source), "--certificates", str(folder)]
    assert main(arguments) == 0
    [path] = folder.iterdir()
    assert json.dumps(str(path)) in capsys.readouterr().out
    assert main(arguments) == 0  # a second run that changes nothing
    path.write_bytes(b"mine")
    assert main(arguments) == 2
    assert f"{path} exists already" in capsys.readouterr().err
    assert path.read_bytes() == b"mine"
    assert main([*arguments, "--force"]) == 0
    assert path.read_bytes() == CT1.pem


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"nothing", "trusted.crt holds no PEM certificate"),
        (certs.leaf("CT1", CA).pem, "holds neither a CA nor a self-signed certificate: no sender would be admitted"),
        (None, "trusted.crt: No such file or directory"),
    ],
)
def test_a_bundle_without_a_trusted_certificate_is_refused(
    content: bytes | None, words: str, site: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = site()
    trusted = source.parent / "trusted.crt"
    trusted.unlink() if content is None else trusted.write_bytes(content)
    assert main(["import", str(source), "-o", str(tmp_path / "config.yaml")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "config.yaml").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Orthanc may accept TLS 1.0 and 1.1"),
        ({"DicomTlsMinimumProtocolVersion": 2}, "versions before TLS 1.2 are not accepted here"),
        ({"DicomTlsMinimumProtocolVersion": 5}, "Orthanc accepts TLS 1.3 only"),
        (
            {"DicomTlsMinimumProtocolVersion": 4, "DicomTlsCiphersAccepted": ["X"]},
            "DicomTlsCiphersAccepted has no counterpart",
        ),
        ({}, "set DicomTlsEnabled to false"),
        ({}, "set DicomCheckModalityHost to false"),
    ],
)
def test_differences_of_tls_are_in_comments(
    options: dict[str, Any], words: str, site: Callable[..., Path], tmp_path: Path
) -> None:
    target = tmp_path / "config.yaml"
    assert main(["import", str(site(CT1, **options)), "-o", str(target)]) == 0
    assert words in target.read_text()
