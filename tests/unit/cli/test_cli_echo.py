"""`dicomgate echo`: arguments, messages, exit codes. Real peers are in tests/integration."""

import datetime
from pathlib import Path

import pytest

from proxy.cli.__main__ import main
from proxy.cli.arguments import parse_target
from proxy.cli.echo import exit_code
from proxy.explain.verification import hint_for
from proxy.policy import Reject
from proxy.upstream import echo_client
from proxy.upstream.tls_facts import TlsFacts
from proxy.upstream.verification import Outcome, StepName, Verification, VerificationRequest
from proxy.x509.certificate import Certificate
from proxy.x509.names import Name
from tests.support import certs


@pytest.mark.parametrize(
    ("text", "target"),
    [("pacs:104", ("pacs", 104)), ("10.0.0.1:2762", ("10.0.0.1", 2762)), ("[::1]:2762", ("::1", 2762))],
)
def test_targets(text: str, target: tuple[str, int]) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pacs"], "'pacs' is not HOST:PORT, e.g. pacs.example.org:2762"),
        ([":104"], "':104' is not HOST:PORT"),
        (["pacs:65536"], "port '65536' is not in 1..65535"),
        (["pacs:٣"], "is not in 1..65535"),
        (["pacs:104", "--called", " "], "--called ' ': only spaces, which is no AE title; an AE title is 1 to 16"),
        (["pacs:104", "--calling", "Ü"], "--calling 'Ü'"),
        (["pacs:104", "--ca", "x.pem"], "need --tls"),
        (["pacs:104", "--tls", "--sni", "a", "--no-sni"], "exclude one another"),
        (
            ["pacs:104", "--tls", "--profile", "tls1.3"],
            "--profile tls1.3: not a TLS profile; the profiles are bcp195-rfc8996, ",
        ),
        (["pacs:104", "--tls", "--ca", "/nonexistent"], "/nonexistent: No such file"),
        (["pacs:104", "--tls", "--key", "x"], "--key needs --cert"),
        (["pacs:104", "--tls", "--cert", "/dev/null"], "certificate"),
        (["pacs:104", "--timeout", "0"], "--timeout"),
        (["pacs:104", "--proxy-header", "v3"], "--proxy-header"),
    ],
)
def test_mistakes_exit_2(capsys, arguments: list[str], words: str) -> None:
    assert main(["echo", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        *((Outcome.OK, 0), (Outcome.NAME_NOT_RESOLVED, 3), (Outcome.NOT_CONNECTED, 3), (Outcome.TIMEOUT, 3)),
        *((Outcome.SERVER_CERTIFICATE, 1), (Outcome.TLS_FAILED, 1), (Outcome.REJECTED, 1), (Outcome.ABORTED, 1)),
        *((Outcome.CLOSED, 1), (Outcome.NOT_DICOM, 1), (Outcome.CONTEXT_REFUSED, 1), (Outcome.ECHO_FAILED, 1)),
    ],
)
def test_every_outcome_has_its_exit_code(outcome: Outcome, code: int) -> None:
    assert exit_code(Verification(outcome)) == code


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Reject(1, 1, 3), "dicomgate explain"),
        (Reject(1, 1, 7), "called_aets"),
        (Reject(1, 1, 1), "may not `echo`"),
        (Reject(2, 3, 2), "too many associations"),
        (Reject(1, 1, 9), "the log of the other side"),
    ],
)
def test_a_rejection_says_what_to_do(answer: Reject, words: str) -> None:
    assert words in hint_for(Verification(Outcome.REJECTED, answer=answer), tls=True, client_certificate=True)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (Verification(Outcome.NAME_NOT_RESOLVED, detail="Name or service not known"), "this machine cannot look"),
        (
            Verification(Outcome.NOT_DICOM, detail="PDU type 48H (it begins with b'HTTP/1.0 400 Bad')"),
            "a web server",
        ),
        (Verification(Outcome.NOT_DICOM, detail="PDU type 15H"), "if this port speaks TLS"),
    ],
)
def test_the_hint_tells_an_absent_peer_from_one_that_is_no_pacs(result: Verification, words: str) -> None:
    assert words in hint_for(result, tls=False, client_certificate=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ca", "key.pem"], "--ca key.pem: holds no PEM certificate"),
        (["--cert", "cert.pem"], "--cert cert.pem: holds no key: name its file with --key"),
        (["--cert", "key.pem"], "--cert key.pem: holds no PEM certificate"),
        (["--cert", "cert.pem", "--key", "cert.pem"], "--key cert.pem: holds no PEM private key that can be read"),
        (
            ["--cert", "cert.pem", "--key", "other.pem"],
            "--key other.pem: is not the key of the certificate in cert.pem",
        ),
        (["--cert", "cert.pem", "--key", "locked.pem"], "--key locked.pem: is encrypted, and a service cannot ask"),
        (["--cert", "both.pem", "--profile", "none"], "--profile none"),
    ],
)
def test_a_wrong_file_is_named_with_its_option(
    capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = certs.self_signed("CT1")
    files = {
        "cert.pem": ours.pem,
        "key.pem": ours.key_pem,
        "other.pem": certs.ca("Other").key_pem,
        "locked.pem": ours.encrypted_key_pem(b"secret"),
        "both.pem": ours.pem + ours.key_pem,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert main(["echo", "127.0.0.1:1", "--tls", *options]) == 2
    assert words in capsys.readouterr().err


def test_names_in_certificates_cannot_control_the_terminal(
    capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    soon, past = now + datetime.timedelta(days=5, hours=1), now - datetime.timedelta(days=1)
    chain = (
        Certificate(b"", "ab", subject=Name("CN=\x1b[2J"), issuer=Name("CN=CA"), not_after=soon),
        Certificate(b"", "cd", subject=Name("CN=CA"), issuer=Name("CN=\u202e"), not_after=past),
    )

    async def verify(request: VerificationRequest) -> Verification:
        assert (request.server.host, request.server_name, request.calling) == ("pacs", "gate", "DICOMGATE")
        return Verification(
            steps=[(step, 0.001) for step in StepName],
            address="10.0.0.1:104",
            tls=TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", "dicom", chain),
            implementation="EVIL\x1b",
        )

    monkeypatch.setattr(echo_client, "verify", verify)
    assert main(["echo", "pacs:104", "--tls", "--insecure", "--sni", "gate"]) == 0
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert "(5 days left)" in out
    assert "EXPIRED on " in out
    assert "TLSv1.3, TLS_AES_256_GCM_SHA384, ALPN dicom\n" in out
    assert "NOT VERIFIED (--insecure)\n" in out
    assert out.endswith("yes: ANY-SCP answers\n")
