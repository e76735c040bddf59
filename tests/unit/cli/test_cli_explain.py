"""`dicomgate explain`: the answer to a sender, stage by stage."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.cli.__main__ import main

Write = Callable[..., Path]
Capture = pytest.CaptureFixture[str]

NORTH = ("--sni", "north.example.org", "--called", "PACSN")
SOUTH = ("--sni", "south.example.org", "--called", "PACSS")


def test_an_accepted_sender_shows_every_rule_with_its_line(config: Write, capsys: Capture) -> None:
    assert main(["explain", *NORTH, "--from", "10.1.0.11", "--calling", "CT1"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "CT1 calls PACSN from 10.1.0.11, SNI north.example.org, no certificate, at listener dicom-tls"
    assert "'north.example.org' selects tenant north  [config.yaml:11]" in lines[2]
    assert "peer CT1 matches calling AE title 'CT1' from 10.1.0.11  [config.yaml:16]" in lines[8]
    assert "contexts          13 of 13 presentation contexts may be used  [config.yaml:16]" in lines[9]
    assert lines[10:12] == ["  may          Verification", "  may          CTImageStorage, to send"]
    assert len(lines) == 10 + 13 + 1
    assert lines[-1] == "accepted: forwarded to upstream pacs (10.9.0.1:104)"


@pytest.mark.parametrize(
    ("arguments", "reason", "answer"),
    [
        ((*NORTH, "--from", "192.0.2.1", "--calling", "CT1"), "address_denied", "connection closed without an answer"),
        (("--sni", "x.org", "--called", "PACSN", "--calling", "CT1"), "sni_unknown", "TLS alert 112"),
        (("--sni", "10.0.0.1", "--called", "PACSN", "--calling", "CT1"), "client_hello_malformed", "TLS alert 50"),
        ((*SOUTH, "--calling", "MR1"), "client_certificate_missing", "TLS alert"),
        ((*SOUTH, "--calling", "MR1", "--cert", "stranger.pem"), "client_certificate_untrusted", "TLS alert 48"),
        ((*SOUTH, "--calling", "MR1", "--cert", "mail.pem"), "client_certificate_wrong_usage", "TLS alert 43"),
        ((*SOUTH, "--calling", "MR1", "--cert", "old.pem"), "client_certificate_expired", "TLS alert 45"),
        ((*SOUTH, "--calling", "MR1", "--cert", "mr2.pem"), "certificate_not_bound", "A-ASSOCIATE-RJ 1/1/3"),
        ((*SOUTH, "--calling", "MR1", "--cert", "us1.pem"), "certificate_not_bound", "A-ASSOCIATE-RJ 1/1/3"),
        ((*SOUTH, "--calling", "M\\R"), "client_certificate_missing", "TLS alert"),
        ((*SOUTH, "--calling", "M\\R", "--cert", "mr1.pem"), "request_ambiguous", "A-ASSOCIATE-RJ 1/1/1"),
        ((*NORTH, "--from", "10.1.0.11", "--calling", ""), "calling_aet_unknown", "A-ASSOCIATE-RJ 1/1/3"),
        ((*NORTH, "--from", "10.1.0.11", "--calling", "CT9"), "calling_aet_unknown", "A-ASSOCIATE-RJ 1/1/3"),
        ((*NORTH, "--from", "10.1.0.12", "--calling", "CT1"), "source_not_allowed", "A-ASSOCIATE-RJ 1/1/3"),
        (
            ("--sni", "north.example.org", "--called", "PACSS", "--calling", "CT1", "--from", "10.1.0.11"),
            "tenant_mismatch",
            "A-ASSOCIATE-RJ 1/1/7",
        ),
        (("--called", "PACSS", "--calling", "MR1"), "certificate_required", "A-ASSOCIATE-RJ 1/1/3"),
    ],
)
def test_a_refusal_names_reason_answer_and_remedy(
    config: Write, capsys: Capture, arguments: tuple[str, ...], reason: str, answer: str
) -> None:
    assert main(["explain", *arguments]) == 1
    out = capsys.readouterr().out
    assert f"\nrefused: {reason}\n" in out
    assert f"\n  on the wire  {answer}" in out
    assert "\n  to change    " in out


def test_the_peer_that_refuses_is_named_once(config: Write, capsys: Capture) -> None:
    assert main(["explain", *NORTH, "--from", "10.1.0.12", "--calling", "CT1"]) == 1
    (refusal,) = [line for line in capsys.readouterr().out.splitlines() if "[config.yaml:16]" in line]
    assert refusal.startswith("  fail         peer              peer CT1: source 10.1.0.12 is not in its from")


@pytest.mark.parametrize(("calling", "cert"), [("MR1", "mr1.pem"), ("US1", "us1.pem")])
def test_a_certificate_is_judged_without_its_key(config: Write, capsys: Capture, calling: str, cert: str) -> None:
    assert main(["explain", *SOUTH, "--calling", calling, "--cert", cert]) == 0
    assert "client certificate required: verified by OpenSSL" in capsys.readouterr().out


def test_a_certificate_that_is_not_asked_for_does_not_count(config: Write, capsys: Capture) -> None:
    config(("mode: optional", "mode: none"))
    assert main(["explain", *NORTH, "--from", "10.1.0.11", "--calling", "CT1", "--cert", "us1.pem"]) == 0
    assert "does not count: none is asked for here" in capsys.readouterr().out


def test_tls_to_the_upstream_is_shown(config: Write, capsys: Capture) -> None:
    config(('"10.9.0.1:104"}]', '"pacs.example.org:2762"}], tls: {ca: ca.pem}'))
    assert main(["explain", *NORTH, "--from", "10.1.0.11", "--calling", "CT1"]) == 0
    said = "bcp195-rfc8996 (PS3.15 B.12), certificate for pacs.example.org of CA ca.pem, client certificate none"
    assert capsys.readouterr().out.splitlines()[-1] == f"  tls          {said}"
    assert main(["explain", *NORTH, "--from", "10.1.0.11", "--calling", "CT1", "--format", "json"]) == 0
    tls = json.loads(capsys.readouterr().out)["upstream_tls"]
    assert (tls["server_names"], tls["verify_name"], tls["certificate"]) == (["pacs.example.org"], True, None)


def test_json_has_the_same_decision(config: Write, capsys: Capture) -> None:
    arguments = ["explain", *NORTH, "--from", "10.1.0.11", "--calling", "CT9", "--format", "json"]
    assert main(arguments) == 1
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == [
        "accepted", "listener", "tenant", "peer", "upstream", "server", "upstream_tls", "reason", "answer", "detail",
        "advice", "contexts", "move_refused", "would_refuse", "trace",
    ]  # fmt: skip
    assert (answer["accepted"], answer["tenant"], answer["reason"]) == (False, "north", "calling_aet_unknown")
    assert answer["trace"][-1] == {
        "rule": "peer",
        "outcome": "fail",
        "detail": "calling AE title 'CT9' is in no peer of tenant north",
        "where": "config.yaml:15",
    }


def test_observe_mode_says_what_it_would_refuse(config: Write, capsys: Capture) -> None:
    config(("  north:\n", "  north:\n    observe_until: 2999-01-01\n"))
    assert main(["explain", *NORTH, "--from", "10.1.0.11", "--calling", "CT9"]) == 0
    out = capsys.readouterr().out
    assert "  would_refuse peer " in out
    assert "only because of observe_until; then refused: calling_aet_unknown" in out


def test_behind_a_load_balancer_the_address_is_the_one_in_the_header(config: Write, capsys: Capture) -> None:
    config(
        ("    tls:\n      certificates", "    proxy_protocol: {trusted: [192.0.2.1]}\n    tls:\n      certificates"),
        ('"10.9.0.1:104"}]', '"10.9.0.1:104"}], send_proxy_protocol: v1'),
    )
    assert main(["explain", *NORTH, "--from", "10.1.0.11", "--calling", "CT1"]) == 0
    said = capsys.readouterr()
    assert "the address above is the one in the PROXY header" in said.err
    assert "forwarded to upstream pacs (10.9.0.1:104, with a PROXY header v1)\n" in said.out


def test_control_characters_reach_no_terminal(config: Write, capsys: Capture) -> None:
    assert main(["explain", *NORTH, "--from", "10.1.0.11", "--calling", "\x1b[31mCT"]) == 1
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give --calling TITLE and --called TITLE"),
        (["--calling", "CT1"], "Give --calling TITLE and --called TITLE"),
        ([*NORTH, "--calling", "A-TITLE-THAT-IS-TOO-LONG"], "at most 16 characters"),
        ([*NORTH, "--calling", "CT1", "--from", "ct1.example.org"], "not an IP address"),
        ([*NORTH, "--calling", "CT1", "--listener", "other"], "there is dicom-tls"),
        ([*NORTH, "--calling", "CT1", "--cert", "absent.pem"], "absent.pem: No such file"),
        ([*NORTH, "--calling", "CT1", "--cert", "server.key"], "no certificate that can be read"),
        (["xyz"], "xyz is not a reason; the reasons are:\n  address_denied"),
        (["certificate_requird"], "certificate_requird is not a reason; did you mean certificate_required?"),
    ],
)
def test_wrong_usage_says_what_to_type(config: Write, capsys: Capture, arguments: list[str], words: str) -> None:
    assert main(["explain", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


def test_a_plaintext_listener_has_neither_sni_nor_certificates(config: Write, capsys: Capture) -> None:
    old, new = "listeners:\n", 'listeners:\n  plain: {bind: ["127.0.0.1:104"], tenants: [north]}\n'
    config((old, new))
    assert main(["explain", *NORTH, "--calling", "CT1"]) == 2
    assert "which listener?" in capsys.readouterr().err
    assert main(["explain", *NORTH, "--calling", "CT1", "--listener", "plain"]) == 2
    assert "plaintext" in capsys.readouterr().err
    arguments = ["--listener", "plain", "--calling", "CT1", "--called", "PACSN", "--from", "10.1.0.11"]
    assert main(["explain", *arguments]) == 0


def test_a_configuration_with_errors_explains_nothing(config: Write, capsys: Capture) -> None:
    config(("upstream: pacs", "upstream: pax"))
    assert main(["explain", *NORTH, "--calling", "CT1"]) == 2
    assert "dicomgate check" in capsys.readouterr().err


VIEWER = ("allow: [all]}\n  south", "allow: [echo, find, move, get], move_destinations: [self, AI]}\n  south")
CT1 = ("explain", *NORTH, "--from", "10.1.0.11", "--calling", "CT1")


@pytest.mark.parametrize(
    ("asked", "code", "printed"),
    [
        (["--operation", "find"], 0, "  may          StudyRootQueryRetrieveInformationModelFind"),
        (["--operation", "get"], 0, "  may          CTImageStorage, to retrieve"),
        (["--operation", "get", "--sop-class", "MRImageStorage"], 0, "  may          MRImageStorage, to retrieve"),
        (["--operation", "get", "--sop-class", "MRImageStorage"], 0, "ModelGet\n"),
        (["--operation", "store"], 1, "  may not      CTImageStorage, to send: it needs store or store_standard"),
        (["--operation", "store"], 1, "1.3.12.2.1107.5.9.1 (private or unknown), to send: as a private"),
        (["--sop-class", "1.2.840.10008.5.1.4.1.1.4"], 1, "  may not      MRImageStorage, to send: it needs store"),
        (["--sop-class", "Verification", "--operation", "find", "--operation", "echo"], 0, "  may          Ver"),
        (["--operation", "find", "--operation", "print"], 1, "accepted in part: forwarded to upstream pacs"),
        (["--operation", "print"], 1, "refused: no_permitted_context"),
        (["--move-destination", "CT1"], 0, "  may          StudyRootQueryRetrieveInformationModelMove"),
        (["--move-destination", "AI"], 0, "accepted: forwarded"),
        (["--move-destination", "WS9"], 1, "C-MOVE: WS9 is not one of the peer's move_destinations (self, AI)"),
        ([], 0, "  may not      ModalityWorklistInformationModelFind: it needs worklist"),
    ],
)  # fmt: skip
def test_permissions_are_printed_and_a_missing_one_is_exit_code_1(
    config: Write, capsys: Capture, asked: list[str], code: int, printed: str
) -> None:
    config(VIEWER)
    assert main([*CT1, *asked]) == code
    assert printed in capsys.readouterr().out


def test_observe_mode_lets_everything_pass_that_it_says_may_not(config: Write, capsys: Capture) -> None:
    config(VIEWER, ("  north:\n", "  north:\n    observe_until: 2999-01-01\n"))
    assert main([*CT1, "--operation", "print"]) == 0
    out = capsys.readouterr().out
    assert "  may not      BasicGrayscalePrintManagementMeta: it needs print" in out
    assert "only because of observe_until; then refused: no_permitted_context" in out
    assert main([*CT1, "--operation", "echo", "--move-destination", "WS9"]) == 0
    assert "only because of observe_until" in capsys.readouterr().out


def test_json_has_the_answer_to_each_proposal(config: Write, capsys: Capture) -> None:
    config(VIEWER)
    assert (
        main([*CT1, "--operation", "echo", "--operation", "mpps", "--move-destination", "X", "--format", "json"]) == 1
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["accepted"]
    assert [(context["name"], context["allowed"]) for context in answer["contexts"]] == [
        ("Verification", True),
        ("ModalityPerformedProcedureStep", False),
        ("StudyRootQueryRetrieveInformationModelMove", True),
    ]
    assert answer["move_refused"] == "X is not one of the peer's move_destinations (self, AI)"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--operation", "finde"], "--operation 'finde': there is no such operation; did you mean find?"),
        (["--operation", "x"], "--operation 'x': there is no such operation; there are echo, store"),
        (["--sop-class", "CTImage"], "CTImage is not the keyword of a SOP class; did you mean CTImageStorage?"),
        (["--sop-class", "ImplicitVRLittleEndian"], "is a transfer syntax, not a SOP class"),
        (["--sop-class", ""], "--sop-class: is empty"),
        (["--sop-class", "1..2"], "neither a UID nor a keyword"),
        (["--move-destination", "A-TITLE-THAT-IS-TOO-LONG"], "an AE title is 1 to 16"),
    ],
)
def test_an_impossible_request_is_a_usage_error(config: Write, capsys: Capture, asked: list[str], words: str) -> None:
    assert main([*CT1, *asked]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


def test_without_a_question_no_more_is_proposed_than_the_limit(config: Write, capsys: Capture) -> None:
    config(("tenants:\n", "limits: {presentation_contexts: 2}\ntenants:\n"))
    assert main([*CT1]) == 0
    assert "2 of 2 presentation contexts may be used" in capsys.readouterr().out
