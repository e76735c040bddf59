"""Rows 18 and 22: what a reload does to TLS sessions, and what a bad CRL does to a reload."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bad_inputs.hostile import TlsPeer, client
from tests.support import certs, pdus
from tests.support.archive import Archive
from tests.support.gateway import Gateway, Record
from tests.support.pacs import Pacs
from tests.support.site import HOST, Site, port_of
from tests.support.steering import reload, reloaded

ADDRESS = "127.0.0.1"
REQUEST = pdus.associate_rq(called=b"MAINPACS".ljust(16))


@pytest.fixture
def gateway(site: Site, tmp_path: Path, start_gateway: Callable[..., Gateway]) -> Iterator[Gateway]:
    """A listener that asks for certificates of the site's CA, and has a CRL of it."""
    site.path("site.crl").write_bytes(certs.crl(site.root, [certs.leaf("REVOKED", site.root)]))
    auth = {"mode": "required", "ca": str(site.path("ca.pem")), "crl": str(site.path("site.crl"))}
    with Pacs(Archive()) as pacs:
        config = site.one_tenant(
            pacs.port, workers=1, control=str(tmp_path / "control.sock"), tls={"client_auth": auth}
        )
        yield start_gateway(config)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("change", ["ca", "crl"])
def test_row_018_session_from_before_a_reload(gateway: Gateway, site: Site, version: str, change: str) -> None:
    """The client is verified again, with any session it kept: by the new CA, by the new list."""
    device = certs.leaf("CT1", site.root)
    context = client(device, version)
    peer = TlsPeer(port_of(gateway.config), ADDRESS, context, HOST)
    assert peer.handshake()
    peer.associate(REQUEST)
    session = peer.tls.session
    peer.send_wire(peer.close_tls())  # OpenSSL forgets a session that was not closed
    peer.fin()
    peer.rest()
    peer.close()
    if change == "ca":
        site.path("ca.pem").write_bytes(certs.ca("Another CA").pem)
        site.path("site.crl").write_bytes(certs.crl(certs.ca("Another CA")))
    else:
        site.path("site.crl").write_bytes(certs.crl(site.root, [device]))
    reloaded(gateway)
    peer = TlsPeer(port_of(gateway.config), ADDRESS, context, HOST, session)
    if change == "ca":
        assert peer.refused_by_alert() == "unknown_ca"
    else:
        assert peer.handshake() and not peer.tls.session_reused
        peer.send(REQUEST)
        assert peer.rejected() == "1/1/3"
    peer.close()
    reason = "client_certificate_untrusted" if change == "ca" else "client_certificate_revoked"
    gateway.wait_for_record(lambda record: record.get("reason") == reason)


@pytest.mark.parametrize("kind", ["truncated", "of another CA", "forged", "missing", "empty"])
def test_row_022_bad_crl_at_a_reload(gateway: Gateway, site: Site, kind: str) -> None:
    """The reload is refused and the last good list stays: revoked certificates are refused, all others accepted."""
    bad = {
        "truncated": certs.crl(site.root)[:-60],
        "of another CA": certs.crl(certs.ca("Another CA")),
        "forged": certs.crl(site.root, signed_by=certs.ca("Another CA")),
        "empty": b"",
    }
    if kind == "missing":
        site.path("site.crl").unlink()
    else:
        site.path("site.crl").write_bytes(bad[kind])
    answer = reload(gateway, unchanged(gateway))
    assert not answer["ok"] and "site.crl" in answer["message"], answer
    assert gateway.metric("config_last_reload_successful") == 0
    peer = TlsPeer(port_of(gateway.config), ADDRESS, client(certs.leaf("CT1", site.root)), HOST)
    assert peer.handshake()
    peer.associate(REQUEST)
    peer.release()


def unchanged(gateway: Gateway) -> Record:
    return copy.deepcopy(gateway.config)
