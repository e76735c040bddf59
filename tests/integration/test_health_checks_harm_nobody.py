"""Health checks of hostile or dead servers hold up neither other checks, nor the gateway's end, nor descriptors."""

import contextlib
import os
import shlex
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.pdu import encode_associate_rj, encode_p_data
from tests.bad_inputs.faulty_listeners import FullBacklog, SlammedDoor
from tests.support.archive import Archive
from tests.support.gateway import Gateway, Record
from tests.support.namespaces import mounted
from tests.support.pacs import Handler, Pacs, Visit
from tests.support.pools import (
    at,
    checks,
    echo_check,
    hang_at_the_request,
    outcomes,
    pool,
    served_by,
    server_status,
    silent,
)
from tests.support.ports import free_port
from tests.support.processes import until
from tests.support.site import Site
from tests.support.soak import scaled
from tests.support.steering import reloaded, workers

CHECKS = scaled(10, 200)  # of each server
TIMEOUT = 0.1  # seconds
SOON = 5.0  # seconds: workers that do not end are given as many before they are killed


def refuse_and_stay(visit: Visit) -> None:
    visit.wire.receive_pdu()
    visit.wire.send(encode_associate_rj(1, 1, 3))
    visit.wire.receive_all()


def trickle(visit: Visit) -> None:
    """The beginning of a TLS record, byte by byte."""
    for byte in b"\x16\x03\x03\x3f\xff\x02" + bytes(100):
        visit.wire.socket.send(bytes((byte,)))
        visit.wire.socket.settimeout(TIMEOUT / 20)
        with contextlib.suppress(TimeoutError):
            visit.wire.socket.recv(4096)


def a_megabyte(visit: Visit) -> None:
    """For an answer: an A-ASSOCIATE-AC of nothing but unknown items."""
    visit.wire.receive_pdu()
    items = b"\x99\0\0\0" * (1 << 18)
    visit.wire.send(b"\x02\0" + struct.pack(">L", 68 + len(items)) + b"\0\1" + bytes(66) + items)
    visit.until_end()


def fragments_without_end(visit: Visit) -> None:
    visit.accept()
    visit.wire.receive_pdu()
    with contextlib.suppress(OSError):
        while True:
            visit.wire.send(encode_p_data(1, 1, b"") * 1000)


#: The behaviour of a server, and whether it shows after a TLS handshake.
DOORS: dict[str, tuple[Handler, bool]] = {
    "ok": (Archive(), False),
    "ok_tls": (Archive(), True),
    "silent": (silent, False),
    "hanging": (hang_at_the_request, False),
    "hanging_tls": (hang_at_the_request, True),
    "refusing": (refuse_and_stay, False),
    "refusing_tls": (refuse_and_stay, True),
    "megabyte": (a_megabyte, False),
    "endless": (fragments_without_end, False),
}
#: Servers that are checked with TLS and never complete a handshake.
NO_TLS: dict[str, Handler] = {"tls_silent": silent, "tls_trickle": trickle, "tls_closes": lambda visit: None}

OUTCOMES = {
    **dict.fromkeys(("ok", "ok_tls"), "ok"),
    **dict.fromkeys(("silent", "hanging", "hanging_tls", "tls_silent", "tls_trickle", "black_hole"), "timeout"),
    **dict.fromkeys(("refusing", "refusing_tls"), "rejected"),
    **dict.fromkeys(("megabyte", "endless"), "not_dicom"),
    "nobody": "not_connected",
    "tls_closes": "tls_failed",
    "wrong_name": "server_certificate",
}


@pytest.fixture
def doors(site: Site) -> Iterator[dict[str, Record]]:
    """All upstreams, each with its check."""
    check = echo_check(interval="10ms", timeout=f"{TIMEOUT * 1000:.0f}ms")
    with contextlib.ExitStack() as stack:
        black_hole = stack.enter_context(contextlib.closing(FullBacklog()))
        slammed = stack.enter_context(contextlib.closing(SlammedDoor()))
        found: dict[str, Record] = {
            name: {"servers": [at(port)], "health_check": check}
            for name, port in (("nobody", free_port()), ("black_hole", black_hole.port), ("slammed", slammed.port))
        }
        for name, (handler, secure) in DOORS.items():
            pacs = stack.enter_context(Pacs(handler, tls=site.server_context() if secure else None))
            found[name] = {"servers": [at(pacs.port)], "health_check": check}
            if secure:
                found[name]["tls"] = site.upstream_tls()
        for name, handler in NO_TLS.items():
            pacs = stack.enter_context(Pacs(handler))
            found[name] = {"servers": [at(pacs.port)], "health_check": check, "tls": site.upstream_tls()}
        wrong = stack.enter_context(Pacs(Archive(), tls=site.server_context()))
        tls = {**site.upstream_tls(), "server_name": "other.example.org"}
        found["wrong_name"] = {"servers": [at(wrong.port)], "health_check": check, "tls": tls}
        yield found


def descriptors(gateway: Gateway) -> int:
    """Of the supervisor, which makes the checks."""
    return len(os.listdir(f"/proc/{gateway.pid}/fd"))


def test_no_outcome_leaves_a_descriptor(
    doors: dict[str, Record], site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    unchecked = pool(site, tmp_path, [at(free_port())], None)
    gateway = start_gateway(unchecked)

    def reload(config: Record) -> None:
        before = workers(gateway)
        reloaded(gateway, config)
        until(lambda: not set(before) & set(workers(gateway)), "the old worker has ended")

    reload(unchecked)
    before = descriptors(gateway)
    reload({**unchecked, "upstreams": {**unchecked["upstreams"], **doors}})
    for name in doors:
        until(lambda name=name: checks(gateway, upstream=name) >= CHECKS, name, 5 * CHECKS)
    found = {name: outcomes(gateway, upstream=name) for name in doors}
    reload(unchecked)
    until(lambda: descriptors(gateway) <= before, "every descriptor is given back", 10)
    missing = {name: outcome for name, outcome in OUTCOMES.items() if outcome not in found[name]}
    assert not missing, found


def seconds_to_stop(gateway: Gateway) -> float:
    """From SIGTERM to the end, which must be a good one."""
    began = time.monotonic()
    gateway.stop()
    took = time.monotonic() - began
    assert not [line for line in gateway.child.errors if "Traceback" in line], gateway.child.text
    return took


def test_checks_under_way_hold_up_no_end(doors: dict[str, Record], site: Site, tmp_path: Path) -> None:
    """Checks that wait for an answer, within TLS or before it, possibly for minutes."""
    config = pool(site, tmp_path, [at(free_port())], None)
    slow = echo_check(timeout="5m")
    for name in ("black_hole", "silent", "hanging", "hanging_tls", "tls_silent", "tls_trickle"):
        config["upstreams"][name] = {**doors[name], "health_check": slow}
    assert seconds_to_stop(Gateway(tmp_path / "gateway", config)) < SOON


def test_a_name_service_that_hangs_harms_its_names_alone(site: Site, tmp_path: Path) -> None:
    """More names hang than there are threads to look them up."""
    hosts, files = tmp_path / "hosts", tmp_path / "nsswitch.conf"
    os.mkfifo(hosts)  # opening it blocks until there is a writer
    files.write_text("hosts: files\n")
    mounts = {hosts: "/etc/hosts", files: "/etc/nsswitch.conf"}
    launcher = mounted(*(f"mount --bind {shlex.quote(str(file))} {place}" for file, place in mounts.items()))
    names = [f"pacs{number}.test:104" for number in range(6)]
    with Pacs(Archive()) as pacs:
        servers = [{"address": name} for name in names]
        config = pool(site, tmp_path, [*servers, at(pacs.port)], echo_check(timeout="500ms"))
        gateway = Gateway(tmp_path / "gateway", config, launcher=launcher)
        for name in names:
            gateway.wait_for_event("server_down", server=name)
            check = server_status(gateway, name)["check"]
            assert (check["outcome"], check["failed_step"]) == ("timeout", "resolve")
        before = checks(gateway, pacs.port)
        until(lambda: checks(gateway, pacs.port) >= before + 5, "who has an address is checked")
        assert outcomes(gateway, server=f"127.0.0.1:{pacs.port}") == {"ok"}
        assert served_by(gateway) == pacs.port
        assert seconds_to_stop(gateway) < SOON
