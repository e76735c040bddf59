"""Rows 96 to 101 with TLS to the upstream: the requestor gets its answer, and the record holds the reason."""

import contextlib
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.pdu.encode import encode_abort
from tests.bad_inputs.bed import Bed
from tests.bad_inputs.case import PROMPT, Case
from tests.bad_inputs.configuration import Pki
from tests.bad_inputs.hostile import TlsPeer
from tests.support import certs, pdus
from tests.support.client import p_data
from tests.support.configs import write_pair
from tests.support.pacs import Handler, Pacs, Visit, sink

NAME = "inside.example.org"
CONNECT, ACCEPT = 2.0, 1.5  # seconds: upstream_connect of every bed, and upstream_accept of this one
DATA = p_data(b"x" * 100, context_id=1)
_PAST = (certs.now() - 9 * certs.DAY, certs.now() - certs.DAY)
_FUTURE = (certs.now() + certs.DAY, certs.now() + 9 * certs.DAY)


def server_context(
    pki: Pki, issued: certs.Issued, *, client_ca: str | None = None, only: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """The TLS context of a PACS; `client_ca`: the CA whose certificates it demands; `only`: its single version."""
    write_pair(pki.folder, issued, "inside")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.path("inside.pem"), pki.path("inside.key"))
    if only is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = only
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pki.path(client_ca))
    return context


def not_tls(visit: Visit) -> None:
    """Answer as a DICOM acceptor answers bytes that are no PDU."""
    visit.wire.receive()
    visit.wire.send(encode_abort(2, 1))
    visit.wire.receive_all()


def silent(visit: Visit) -> None:
    visit.wire.receive_all()


def reset_at_once(visit: Visit) -> None:
    visit.wire.reset()


def reset_behind_the_hello(visit: Visit) -> None:
    visit.wire.receive()
    visit.wire.reset()


def closes_behind_the_hello(visit: Visit) -> None:
    visit.wire.receive()


def half_a_record(visit: Visit) -> None:
    visit.wire.receive()
    visit.wire.send(b"\x16\x03\x03\x01\x00\x02")
    visit.wire.reset()


def no_answer(visit: Visit) -> None:
    visit.request = visit.wire.receive_pdu()
    visit.until_end()


def cut_between_pdus(visit: Visit) -> None:
    visit.accept()
    visit.wire.send(DATA)
    visit.wire.fin()
    visit.until_end()


def cut_inside_a_pdu(visit: Visit) -> None:
    visit.accept()
    visit.wire.send(DATA[:-10])
    visit.wire.fin()
    visit.wire.receive_all()


def garbage_for_a_record(visit: Visit) -> None:
    visit.accept()
    visit.wire.send(DATA)
    visit.wire.send_raw(b"\x17\x03\x03\x00\x20" + bytes(32))
    visit.wire.receive_all()


@pytest.fixture(scope="module")
def doors(pki: Pki) -> Iterator[dict[str, Pacs]]:
    """By called AE title: servers with all kinds of faults."""
    root = certs.ca("Inside root")
    pki.write("inside-ca.pem", root.pem)
    write_pair(pki.folder, certs.leaf("gateway", pki.ca["a"]), "gateway")
    good = certs.server(NAME, root)
    expired, early = (certs.leaf(NAME, root, eku=(certs.SERVER,), dns=[NAME], valid=v) for v in (_PAST, _FUTURE))
    servers: dict[str, tuple[Handler, ssl.SSLContext | None]] = {
        "WRONGNAME": (sink, server_context(pki, certs.server("elsewhere.example.org", root))),
        "EXPIRED": (sink, server_context(pki, expired)),
        "EARLY": (sink, server_context(pki, early)),
        "UNKNOWNCA": (sink, server_context(pki, certs.server(NAME, pki.root))),
        "SELFSIGNED": (sink, server_context(pki, certs.self_signed(NAME))),
        "CLIENTEKU": (sink, server_context(pki, certs.leaf(NAME, root, dns=[NAME]))),
        "OLD": (sink, server_context(pki, good, only=ssl.TLSVersion.TLSv1_1)),
        "PLAIN": (not_tls, None),
        "SILENT": (silent, None),
        "SLAMMED": (reset_at_once, None),
        "RESETHELLO": (reset_behind_the_hello, None),
        "CLOSEHELLO": (closes_behind_the_hello, None),
        "HALFRECORD": (half_a_record, None),
        "STRANGER13": (sink, server_context(pki, good, client_ca="ca-b.pem")),
        "STRANGER12": (sink, server_context(pki, good, client_ca="ca-b.pem", only=ssl.TLSVersion.TLSv1_2)),
        "NOANSWER": (no_answer, server_context(pki, good)),
        "CUTBETWEEN": (cut_between_pdus, server_context(pki, good)),
        "CUTINSIDE": (cut_inside_a_pdu, server_context(pki, good)),
        "GARBAGE": (garbage_for_a_record, server_context(pki, good)),
        "GOOD": (sink, server_context(pki, good, client_ca="ca-a.pem")),
    }
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Pacs(handler, tls=tls)) for name, (handler, tls) in servers.items()}


@pytest.fixture(scope="module")
def bed(start_bed: Callable[..., Bed], doors: dict[str, Pacs], pki: Pki) -> Bed:
    tls = {
        "server_name": NAME,
        "ca": pki.path("inside-ca.pem"),
        "certificate": pki.path("gateway.pem"),
        "key": {"file": pki.path("gateway.key")},
    }
    routes: dict[str, Any] = {
        name: {"servers": [{"address": f"127.0.0.1:{door.port}"}], "tls": tls} for name, door in doors.items()
    }
    return start_bed(routes=routes, timeouts={"upstream_accept": f"{ACCEPT * 1000:.0f}ms"})


def calling(case: Case, called: str) -> TlsPeer:
    peer = case.secured()
    peer.send(pdus.associate_rq(called=called.encode().ljust(16), calling=b"CT1".ljust(16)))
    return peer


def attempts(case: Case, called: str, result: str) -> float:
    return case.gateway.metric("upstream_connect_attempts_total", upstream=called.lower(), result=result)


@pytest.mark.parametrize(
    ("called", "words"),
    [
        ("WRONGNAME", f"certificate is not valid for '{NAME}'"),
        ("EXPIRED", "certificate has expired"),
        ("EARLY", "certificate is not yet valid"),
        ("UNKNOWNCA", "its issuer is not among the CAs that are trusted here"),
        ("SELFSIGNED", "to trust this certificate, name it as the CA"),
        ("CLIENTEKU", "its extended key usage is without serverAuth"),
        ("OLD", "none of the TLS versions of the profile"),
        ("PLAIN", "the peer does not speak TLS here"),
    ],
)
def test_row_096_not_the_server_that_was_meant(called: str, words: str, case: Case, doors: dict[str, Pacs]) -> None:
    before = doors[called].dials
    peer = calling(case, called)
    with case.promptly():
        assert peer.rejected() == "2/3/1" and peer.close_notify
    case.refused(peer, "upstream_tls_failed")
    record = case.record(peer)
    assert words in record["detail"] and "upstream_tls" not in record
    assert attempts(case, called, "tls") == 1
    visit = doors[called].ended(before)
    assert visit.request == b"" and visit.ended.startswith("error: SSLError") == (called != "PLAIN"), visit.ended


def test_row_096_is_counted_as_handshakes_of_a_client(case: Case) -> None:
    labels = {"role": "client", "reason": "upstream_tls_failed"}
    before = case.gateway.metric("tls_handshake_failures_total", **labels)
    peer = calling(case, "SELFSIGNED")
    assert peer.rejected() == "2/3/1"
    case.refused(peer, "upstream_tls_failed")
    assert case.gateway.metric("tls_handshake_failures_total", **labels) == before + 1


def test_row_097_a_server_that_never_answers_the_hello(case: Case) -> None:
    asked, watch = time.monotonic(), case.stopwatch()
    peers = [calling(case, "SILENT") for _ in range(10)]
    case.check_the_healthy_client()
    for peer in peers:
        assert peer.rejected() == "2/3/1"
        assert time.monotonic() - asked > CONNECT * 0.9 and watch.seconds() < CONNECT + PROMPT
        case.refused(peer, "upstream_tls_failed")
        assert "the TLS handshake did not end in 2 s" in case.record(peer)["detail"]
    assert attempts(case, "SILENT", "tls") == 10


def test_row_097_a_requestor_that_leaves_meanwhile(case: Case, doors: dict[str, Pacs]) -> None:
    before = doors["SILENT"].dials
    peer = calling(case, "SILENT")
    visit = doors["SILENT"].visit(before)
    peer.reset()
    case.refused(peer, "requestor_gone")
    assert doors["SILENT"].ended(before) is visit


def test_row_098_no_answer_over_tls(case: Case, doors: dict[str, Pacs]) -> None:
    before = doors["NOANSWER"].dials
    peer = calling(case, "NOANSWER")
    assert peer.rejected() == "2/3/1"
    case.refused(peer, "upstream_timeout")
    visit = doors["NOANSWER"].ended(before)
    assert visit.ended == "abort" and visit.wire.peer_closed_tls
    assert case.record(peer)["upstream_tls"]["version"] == "TLSv1.3"


@pytest.mark.parametrize("called", ["SLAMMED", "RESETHELLO", "CLOSEHELLO", "HALFRECORD"])
def test_row_100_cut_within_the_handshake(called: str, case: Case) -> None:
    peer = calling(case, called)
    with case.promptly():
        assert peer.rejected() == "2/3/1"
    record = case.record(peer)
    # A RST that comes with the connection may be seen before TLS has begun.
    reason = "upstream_unavailable" if called == "SLAMMED" and "reset by peer" in record["detail"] else None
    case.refused(peer, reason or "upstream_tls_failed")
    assert reason or "closed the connection in the middle of the handshake" in record["detail"]


@pytest.mark.parametrize("called", ["STRANGER13", "STRANGER12"])
def test_row_100_our_certificate_is_refused(called: str, case: Case) -> None:
    """In TLS 1.3 the alert comes after our handshake, with the request sent: it must not look like a dead PACS."""
    labels = {"role": "client", "reason": "upstream_tls_failed"}
    before = case.gateway.metric("tls_handshake_failures_total", **labels)
    for _ in range(20):
        peer = calling(case, called)
        assert peer.rejected() == "2/3/1"
        case.refused(peer, "upstream_tls_failed")
        record = case.record(peer)
        assert "does not trust the CA of our certificate (TLSV1_ALERT_UNKNOWN_CA)" in record["detail"]
    assert case.gateway.metric("tls_handshake_failures_total", **labels) == before + 20


@pytest.mark.parametrize(
    ("called", "ended", "reason"),
    [
        ("CUTBETWEEN", "upstream_lost", "tls_truncated"),
        ("CUTINSIDE", "upstream_lost", "tls_truncated"),
        ("GARBAGE", "aborted_by_gateway", "upstream_tls_failed"),
    ],
)
def test_row_101_the_stream_is_cut(called: str, ended: str, reason: str, case: Case) -> None:
    """Earlier bytes are delivered; then an A-ABORT between two PDUs, and a reset inside one."""
    peer = calling(case, called)
    peer.accepted()
    whole = DATA
    if called == "CUTINSIDE":
        assert peer.rest() == whole[:-10] and peer.end == "reset"
    else:
        assert peer.rest() == whole + encode_abort(2, 0) and peer.end == "fin"
    case.passed(peer, ended, reason, dialled=0)


def test_row_101_and_one_that_is_as_it_should_be(case: Case, doors: dict[str, Pacs]) -> None:
    before = doors["GOOD"].dials
    peer = calling(case, "GOOD")
    peer.accepted()
    case.released(peer, dialled=0)
    visit = doors["GOOD"].ended(before)
    assert visit.ended == "release" and visit.wire.peer_closed_tls
    record = case.record(peer)
    assert record["upstream_tls"] == {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"}
    assert case.gateway.metric("tls_handshakes_total", role="client", client_cert="given", version="TLSv1.3") >= 1
