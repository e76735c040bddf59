"""Rows 10 to 19: server names, and the separation of the tenants with these names."""

import ssl
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import Case
from tests.bad_inputs.hellos import answer, offer_12
from tests.bad_inputs.hostile import OPEN, client
from tests.support import certs, client_hellos, gateway, pdus, tls_pair

CLOSED, OTHER = "closed.example.org", "other.example.org"


def request(called: str, calling: str = "ANYBODY") -> bytes:
    return pdus.associate_rq(called=called.encode().ljust(16), calling=calling.encode().ljust(16))


def test_row_010_no_sni_where_it_is_demanded(case: Case) -> None:
    assert answer(case, offer_12(name=None), "sni_missing", "reject") == "handshake_failure"


@pytest.mark.parametrize(
    ("called", "reply", "reason"),
    [
        ("CLOSED", "1/1/3", "sni_required"),
        ("OTHER", "1/1/3", "sni_required"),
        ("NOBODY", "1/1/7", "called_aet_unknown"),
    ],
)
def test_row_010_no_sni_never_reaches_a_tenant_that_does_not_match(
    case: Case, called: str, reply: str, reason: str
) -> None:
    peer = case.secured(server_name=None)
    peer.send(request(called))
    assert peer.rejected() == reply
    case.refused(peer, reason)


def test_row_010_no_sni_and_the_one_tenant_that_matches(case: Case) -> None:
    peer = case.associated(server_name=None)
    case.released(peer)
    assert case.record(peer)["tenant"] == "open"


@pytest.mark.parametrize("name", ["nobody.example.org", "example.org", "a.open.example.org", "localhost"])
def test_row_011_sni_of_an_unknown_tenant(case: Case, name: str) -> None:
    peer = case.tls_peer(server_name=name)
    assert peer.refused_by_alert() == "unrecognized_name"
    case.refused(peer, "sni_unknown")


def test_row_011_unknown_names_take_as_long_as_known_ones(case: Case) -> None:
    """From the ClientHello to the first byte of the answer."""

    def seconds(name: bytes, reason: str) -> float:
        peer = case.peer("tls")
        hello = client_hellos.records(offer_12(name=name))
        started = time.perf_counter()
        peer.send(hello)
        peer.receive()
        took = time.perf_counter() - started
        peer.close()
        case.refused(peer, reason)
        return took

    apart = []
    for _ in range(3):  # the best counts: the machine is shared
        known = statistics.median(seconds(OPEN.encode(), "requestor_gone") for _ in range(15))
        unknown = statistics.median(seconds(b"nobody.example.org", "sni_unknown") for _ in range(15))
        apart.append(abs(known - unknown))
    assert min(apart) < 0.005, apart


@pytest.mark.parametrize("name", ["OPEN.Example.ORG", "open.example.org.", "OPEN.EXAMPLE.ORG."])
def test_row_012_case_and_one_trailing_dot_do_not_count(case: Case, name: str) -> None:
    peer = case.associated(server_name=name)
    case.released(peer)
    assert (case.record(peer)["tenant"], case.record(peer)["sni"]) == ("open", OPEN)


LABEL = b"a" * 63


@pytest.mark.parametrize(
    "extension",
    [
        client_hellos.server_name(b".".join((LABEL, LABEL, LABEL, LABEL))),  # 255 bytes
        client_hellos.server_name(b".".join((LABEL, LABEL, LABEL, b"b" + LABEL))),  # 256
        client_hellos.server_name(b"a" * 64 + b".example.org"),
        client_hellos.server_name(b""),
        client_hellos.server_name(),
        client_hellos.server_name(b"127.0.0.1"),
        client_hellos.server_name(b"::1"),
        client_hellos.server_name(b"open.example.org\0.evil.org"),
        client_hellos.server_name(b"open..example.org"),
        client_hellos.server_name(b".."),
        client_hellos.server_name(b"."),
        client_hellos.server_name(b"open.example.org.."),
        client_hellos.server_name(b"xn--\xff.example.org"),
        client_hellos.server_name(b"open.example.org", b"closed.example.org"),
        client_hellos.server_name(b"open.example.org", b"open.example.org"),
        client_hellos.server_name(b"open.example.org", name_type=1),
        client_hellos.server_name(b"open.example.org\r\n"),
        client_hellos.server_name(b"*.example.org"),
        (0, b"\0\x20\0\0\x10open"),
    ],
)
def test_row_013_sni_that_is_no_one_dns_name(case: Case, extension: tuple[int, bytes]) -> None:
    assert answer(case, offer_12(name=None, more=[extension]), "client_hello_malformed") == "decode_error"


def test_row_013_two_server_name_extensions(case: Case) -> None:
    hello = offer_12(more=[client_hellos.server_name(b"closed.example.org")])
    assert answer(case, hello, "client_hello_malformed") == "decode_error"


FAULT = """\
import sys
if any("proxy" in argument for argument in sys.orig_argv):
    import proxy.tls.contexts
    def broken(name):
        raise RuntimeError("injected fault")
    proxy.tls.contexts.normalize_server_name = broken
"""


def test_row_014_sni_callback_that_raises(
    start_bed: Callable[..., Bed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL's callback fails inside the gateway: no handshake and no association for any client."""
    (tmp_path / "sitecustomize.py").write_text(FAULT)
    clean = gateway.clean_environment

    def faulty(extra: dict[str, str]) -> dict[str, str]:
        return clean({**extra, "PYTHONPATH": f"{tmp_path}:{extra['PYTHONPATH']}"})

    monkeypatch.setattr(gateway, "clean_environment", faulty)
    bed = start_bed(healthy=False)
    for server_name in (OPEN, CLOSED):
        case = Case(bed)
        # Not in its normal form, which is what the callback has to work for.
        peer = case.tls_peer(server_name=server_name.upper(), context=client(bed.pki.ct1))
        assert peer.refused_by_alert() == "handshake_failure"
        record = case.record(peer)
        assert (record["decision"], record["reason"]) == ("refused", "tls_failed")
        assert bed.pacs.dials == 0
        peer.close()


def test_row_015_certificate_of_the_other_tenants_ca(case: Case) -> None:
    stranger = certs.leaf("CT1", case.bed.pki.ca["b"], dns=["ct1.example.org"])
    for server_name, certificate in ((CLOSED, stranger), (OTHER, case.bed.pki.ct1)):
        peer = case.tls_peer(server_name=server_name, context=client(certificate))
        assert peer.refused_by_alert() == "unknown_ca"
        case.refused(peer, "client_certificate_untrusted")


@pytest.mark.parametrize(("version", "alert"), [("1.2", "handshake_failure"), ("1.3", "certificate_required")])
def test_row_016_no_certificate_where_the_tenant_alone_demands_one(case: Case, version: str, alert: str) -> None:
    """The listener asks for none: the tenant's own context counts from the first byte."""
    peer = case.tls_peer(server_name=CLOSED, context=client(version=version))
    assert peer.refused_by_alert() == alert
    case.refused(peer, "client_certificate_missing")


@pytest.mark.parametrize("called", ["CLOSED", "PACS"])
def test_row_016_no_certificate_and_the_name_of_another_tenant(case: Case, called: str) -> None:
    peer = case.secured(server_name=OPEN)
    peer.send(request(called))
    if called == "PACS":
        peer.accepted()
        case.released(peer)
        return
    assert peer.rejected() == "1/1/7"
    case.refused(peer, "tenant_mismatch")


def foreign_session(context: ssl.SSLContext) -> ssl.SSLSession:
    """A session with ticket of some other server, for the client's context."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls_pair.load_key_pair(server, tls_pair.key_pair(certs.server(OPEN, certs.ca("Elsewhere"))))
    ends = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    acceptor = server.wrap_bio(ends[0], ends[1], server_side=True)
    requestor = context.wrap_bio(ends[1], ends[0], server_hostname=OPEN)
    for side in (requestor, acceptor, requestor, acceptor, requestor):
        tls_pair.step(side)
    tls_pair.step(requestor, lambda: requestor.read(1))  # TLS 1.3 sends tickets after the handshake
    session = requestor.session
    assert session is not None and session.has_ticket
    return session


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_row_017_ticket_of_another_server(case: Case, version: str) -> None:
    """A full handshake, under the rules of the tenant that is asked for."""
    context = client(version=version)
    peer = case.tls_peer(context=context, session=foreign_session(context))
    assert peer.handshake() and not peer.tls.session_reused
    peer.associate(request("PACS"))
    case.released(peer)
    peer = case.tls_peer(context=context, session=foreign_session(context), server_name=CLOSED)
    assert peer.refused_by_alert() in ("handshake_failure", "certificate_required")
    case.refused(peer, "client_certificate_missing")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_row_017_session_of_one_tenant_offered_to_the_other(case: Case, version: str) -> None:
    """TLS 1.2 resumes by session id, TLS 1.3 by ticket; the gateway gives no tickets."""
    context = client(case.bed.pki.ct1, version)
    peer = case.secured(context=context, server_name=CLOSED)
    peer.associate(request("CLOSED", "CT1"))
    session = peer.tls.session
    assert session is None or not session.has_ticket
    peer.send_wire(peer.close_tls())  # OpenSSL forgets a session that was not closed
    peer.fin()
    peer.rest()
    case.passed(peer)
    for server_name, alert in ((OTHER, "unknown_ca"), (OPEN, None)):
        peer = case.tls_peer(context=context, session=session, server_name=server_name)
        if alert is not None:
            assert peer.refused_by_alert() == alert
            case.refused(peer, "client_certificate_untrusted")
            continue
        assert peer.handshake() and not peer.tls.session_reused
        peer.associate(request("PACS"))
        case.released(peer)
        assert "client_cert" not in case.record(peer)["tls"]


@pytest.mark.parametrize(
    ("server_name", "called"), [(OPEN, "CLOSED"), (OPEN, "OTHER"), (CLOSED, "PACS"), (CLOSED, "OTHER")]
)
def test_row_019_sni_of_one_tenant_and_title_of_the_other(case: Case, server_name: str, called: str) -> None:
    peer = case.secured(server_name=server_name, context=client(case.bed.pki.ct1))
    peer.send(request(called, "CT1"))
    assert peer.rejected() == "1/1/7"
    case.refused(peer, "tenant_mismatch")
