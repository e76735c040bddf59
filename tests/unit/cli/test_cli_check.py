"""`dicomgate check`: findings, the effective settings for each kind of client, exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.__main__ import main
from tests.support import certs

Write = Callable[..., Path]
Capture = pytest.CaptureFixture[str]


def check_json(capsys: Capture, *options: str) -> dict[str, Any]:
    main(["check", "--format", "json", *options])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_a_good_configuration_is_printed_listener_by_listener(config: Write, capsys: Capture) -> None:
    assert main(["check", "--strict"]) == 0
    out = capsys.readouterr().out
    assert "listener dicom-tls on 127.0.0.1:2762  [config.yaml:3]\n" in out
    assert "bcp195-rfc8996 (PS3.15 B.12), client certificate optional, trusted: default (ca.pem), 1 pinned\n" in out
    assert "south.example.org           gets certificate of tenant south, client certificate required\n" in out
    assert "(any other)                 gets TLS alert 112 unrecognized_name (sni_unknown)\n" in out
    assert "(none)                      gets certificate of the listener, client certificate optional" in out
    assert out.endswith("0 errors, 0 warnings\n")


def test_long_names_do_not_run_into_the_text_after_them(config: Write, capsys: Capture) -> None:
    long = "a-very-long-name.rad.example.org"
    config(("aet: CT1", "name: this-machine, aet: CT1"), ("server_names: [north.example.org", f"server_names: [{long}"))
    main(["check"])
    out = capsys.readouterr().out
    assert "    peer this-machine may " in out
    assert f"    {long} gets " in out


def test_json_has_the_documented_shape(config: Write, capsys: Capture) -> None:
    report = check_json(capsys)
    assert list(report) == ["config", "ok", "errors", "warnings", "findings", "listeners", "upstreams"]
    (listener,) = report["listeners"]
    assert list(listener) == [
        "name", "where", "bind", "networks", "proxy_protocol", "default_tenant", "tls", "tenants", "sni", "notes",
    ]  # fmt: skip
    assert listener["networks"] == ["127.0.0.0/8", "10.0.0.0/8"]
    assert listener["tls"]["client_auth"] == "optional"
    assert [(tenant["name"], tenant["client_auth"]) for tenant in listener["tenants"]] == [
        ("north", "optional"),
        ("south", "required"),
    ]
    rows = [(row["sender"], row["server_name"], row["alert"]) for row in listener["sni"]]
    assert rows == [
        ("known", "north.example.org", None),
        ("known", "south.example.org", None),
        ("unknown", None, 112),
        ("none", None, None),
    ]


def test_revocation_is_printed(config: Write, capsys: Capture) -> None:
    path = config(("ca: ca.pem}", f"ca: ca.pem, crl: crl.pem, revoked: [{'ab' * 32}]}}"),
                  ("mode: required", "mode: required, crl_expired: accept"))  # fmt: skip
    device_ca = certs.ca("Device CA")
    crl = certs.crl(device_ca, [certs.leaf("MR1", device_ca)], next_update=certs.now() + 7 * certs.DAY)
    path.with_name("crl.pem").write_bytes(crl)
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    until = f"{certs.now() + 7 * certs.DAY:%Y-%m-%d}"
    said = f"  CRL               crl.pem: CN=Device CA, 1 revoked, until {until}, then"
    assert f"{said} every certificate of this CA is refused (crl_expired: refuse)\n" in out
    assert f"{said} still used (crl_expired: accept)\n" in out
    assert "  revoked           1 by fingerprint: abababababababab…\n" in out
    (listener,) = check_json(capsys)["listeners"]
    assert listener["tls"]["revocation"]["revoked"] == ["ab" * 32]
    north, south = (tenant["revocation"] for tenant in listener["tenants"])
    assert north == listener["tls"]["revocation"]
    assert (north["crl_expired"], south["crl_expired"]) == ("refuse", "accept")
    (listed,) = south["crls"]
    assert list(listed) == ["file", "issuer", "revoked", "next_update"]


def test_a_pool_is_printed(config: Write, capsys: Capture) -> None:
    servers = '"10.9.0.1:104", weight: 3}, {address: "10.9.0.2:104", backup: true}], balance: round_robin'
    config(('"10.9.0.1:104"}]', servers))
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "\nupstream pacs at 10.9.0.1:104 (weight 3), 10.9.0.2:104 (backup), by round_robin  [config.yaml:" in out


def test_tls_to_an_upstream_is_printed(config: Write, capsys: Capture) -> None:
    own = "certificate: server.pem, key: {file: server.key}, profile: legacy-aes, verify_name: false, ca: ca.pem"
    config(('"10.9.0.1:104"}]', f'"pacs.example.org:2762"}}], tls: {{{own}}}'))
    (upstream,) = check_json(capsys)["upstreams"]
    assert list(upstream) == [
        "name", "where", "servers", "balance", "weights", "backups", "source_address", "send_proxy_protocol",
        "health_check", "tls", "notes",
    ]  # fmt: skip
    assert list(upstream["tls"]) == [
        "profile", "section", "retired", "server_names", "verify_name", "ca", "certificate",
    ]  # fmt: skip
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "upstream pacs at pacs.example.org:2762  [config.yaml:26]\n" in out
    said = "any certificate (asked for pacs.example.org) of CA ca.pem, client certificate server.pem"
    assert f"  tls               legacy-aes (PS3.15 B.3, retired), {said}\n" in out
    assert "  note              legacy-aes is retired from PS3.15" in out


def test_an_upstream_in_the_clear_is_marked(config: Write, capsys: Capture) -> None:
    assert main(["check"]) == 0
    assert "upstream pacs at 10.9.0.1:104  [config.yaml:26]\n  tls               none: plaintext\n" in (
        capsys.readouterr().out
    )


def test_load_balancers_and_the_way_to_upstreams_are_printed(config: Write, capsys: Capture) -> None:
    config(
        ("    tls:\n      c", "    proxy_protocol: {trusted: [10.0.0.1, 10.0.1.0/24]}\n    tls:\n      c"),
        ('"10.9.0.1:104"}]', '"10.9.0.1:104"}], send_proxy_protocol: v2, source_address: 127.0.0.1'),
    )  # fmt: skip
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "  PROXY header      v1 or v2 from 10.0.0.1/32, 10.0.1.0/24; others are refused\n" in out
    assert "\nupstream pacs at 10.9.0.1:104, from 127.0.0.1, with a PROXY header v2  [config.yaml:" in out
    report = check_json(capsys)
    (listener,), (upstream,) = report["listeners"], report["upstreams"]
    assert listener["proxy_protocol"] == {"versions": ["v1", "v2"], "trusted": ["10.0.0.1/32", "10.0.1.0/24"]}
    assert {key: upstream[key] for key in upstream if key != "where"} == {
        "name": "pacs", "servers": ["10.9.0.1:104"], "balance": "least_associations", "weights": [1], "backups": [],
        "source_address": "127.0.0.1", "send_proxy_protocol": "v2", "health_check": None, "tls": None, "notes": [],
    }  # fmt: skip


def test_health_checks_are_printed(config: Write, capsys: Capture) -> None:
    config(('"10.9.0.1:104"}]', '"10.9.0.1:104"}], health_check: {type: echo, called_aet: MAIN, interval: 1m}'))
    assert main(["check"]) == 0
    said = "C-ECHO from DICOMGATE to MAIN every 60 s, answered within 3 s; down after 3, up after 2"
    assert f"  health            {said}\n" in capsys.readouterr().out
    config(('"10.9.0.1:104"}]', '"10.9.0.1:104"}], health_check: {type: tcp}'))
    assert main(["check"]) == 0
    assert "  health            TCP connect every 10 s, answered within 3 s" in capsys.readouterr().out
    (upstream,) = check_json(capsys)["upstreams"]
    assert upstream["health_check"]["type"] == "tcp"


def test_the_permissions_of_each_peer_are_in_words(config: Write, capsys: Capture) -> None:
    config(
        ("aet: CT1, from: [10.1.0.11], allow: [all]", "aet: CT1, from: [10.1.0.11], allow: [modality, move, get], "
         "sop_classes: [Verification, 1.3.12.2.1107.5.9.1], rewrite: {calling_aet: N_CT1}"),
        ("[us1.pem]}, allow: [all]", "[us1.pem]}, allow: [store_standard], action: refuse"),
        ("called_aets: [PACSS]\n", "called_aets: [PACSS]\n    rewrite: {called_aet: ORTHANC}\n"),
    )  # fmt: skip
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert (
        "    peer CT1        may echo, store (private classes too), read worklists, retrieve by C-MOVE (to self), "
        "retrieve by C-GET, ask for storage commitment, report performed procedure steps; "
        "only SOP classes 1.3.12.2.1107.5.9.1, Verification; calling AE title sent to the upstream: N_CT1\n"
    ) in out
    assert "    peer MR1        may do everything (C-MOVE to self)\n" in out
    assert "    peer US1        is refused\n" in out
    assert "                    called AE title sent to the upstream: ORTHANC\n" in out
    north = check_json(capsys)["listeners"][0]["tenants"][0]
    (peer,) = north["peers"]
    assert list(peer) == [
        "name", "where", "aet", "action", "operations", "sop_classes", "transfer_syntaxes", "move_destinations", "may",
    ]  # fmt: skip
    assert peer["operations"] == ["echo", "store", "worklist", "move", "get", "storage_commitment", "mpps"]
    assert (peer["transfer_syntaxes"], peer["move_destinations"]) == ("any", ["self"])


def test_errors_of_form_announce_the_checks_that_follow(config: Write, capsys: Capture) -> None:
    config(("upstream: pacs\n    peers:\n      - {aet: CT1", "upstream: pcs\n    peers:\n      - {aet: CT1"))
    assert main(["check"]) == 2
    assert capsys.readouterr().out.endswith("1 error, 0 warnings\n")
    config(("version: 1", "version: one"))
    assert main(["check"]) == 2
    out = capsys.readouterr().out
    assert out.endswith("1 error, 0 warnings\ncorrect these first; names, files and certificates are checked then\n")


def test_a_tenant_weaker_than_its_listener_is_a_warning(config: Write, capsys: Capture) -> None:
    config(("mode: optional", "mode: required"), ("mode: required}}", "mode: none}}"))
    assert main(["check"]) == 0
    assert "client_auth.mode is none, the listener's required [W207]\n" in capsys.readouterr().out
    assert main(["check", "--strict"]) == 1


def test_every_error_has_the_form_of_a_compiler_message(config: Write, capsys: Capture) -> None:
    config(("bind:", "bnd:"), ("aet: CT1", "aet: A-TITLE-THAT-IS-TOO-LONG"))
    assert main(["check"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("config.yaml:4:5: listeners.dicom-tls.bnd: ") and "E111" in line for line in lines)
    assert any(line.startswith("config.yaml:16:15: tenants.north.peers.0.aet: ") for line in lines)


def test_errors_leave_no_listeners_in_json(config: Write, capsys: Capture) -> None:
    config(("upstream: pacs", "upstream: pax"))
    report = check_json(capsys)
    assert (report["ok"], report["errors"], report["listeners"]) == (False, 2, [])
    assert {finding["code"] for finding in report["findings"]} == {"E201"}


def test_a_certificate_that_openssl_cannot_serve_is_an_error(config: Write, capsys: Capture) -> None:
    # B.3 has no suite for an ECDSA certificate.
    config(("    tls:\n", "    tls:\n      profile: legacy-aes\n"))
    assert main(["check"]) == 2
    assert "listeners.dicom-tls.tls: " in (out := capsys.readouterr().out)
    assert "[E311]" in out


def test_notes_name_what_this_openssl_leaves_out(config: Write, capsys: Capture) -> None:
    config(("    tls:\n", "    tls:\n      profile: bcp195-rfc8996-modified\n"))
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "with TLS 1.3 the 3 default suites are served" in out
    assert ", TLS_AES_128_CCM_SHA256, TLS_AES_128_CCM_8_SHA256 are not" in out


def test_a_tenant_out_of_reach_without_sni_is_noted(config: Write, capsys: Capture) -> None:
    config(("mode: optional", "mode: none"))
    assert (
        "tenant south requires a client certificate: without SNI it cannot be reached (sni_required)"
        in (check_json(capsys)["listeners"][0]["notes"])
    )


def test_a_tenant_that_only_observes_is_noted(config: Write, capsys: Capture) -> None:
    config(("  north:\n", "  north:\n    observe_until: 2999-01-01\n"))
    assert main(["check"]) == 0
    assert "tenant north lets refusals by policy pass until 2999-01-01 00:00 UTC" in capsys.readouterr().out


def test_without_a_file_the_error_names_init(tmp_path: Path, capsys: Capture) -> None:
    assert main(["check", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "dicomgate init" in capsys.readouterr().err
