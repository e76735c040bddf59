"""Clients that show a certificate to a tenant of the bed, and the three ends that this can have."""

import datetime

from tests.bad_inputs.case import Case
from tests.bad_inputs.hostile import TlsPeer, client
from tests.support import certs, pdus

DAY = certs.DAY


def shows(case: Case, certificate: certs.Issued | None, tenant: str = "closed", chain: bytes | None = None) -> TlsPeer:
    """A client that will show this certificate to this tenant."""
    return case.tls_peer(server_name=f"{tenant}.example.org", context=client(certificate, chain=chain))


def asks(peer: TlsPeer, called: str, calling: str) -> None:
    assert peer.handshake(), f"{peer.alert} {peer.end}"
    peer.send(pdus.associate_rq(called=called.encode().ljust(16), calling=calling.encode().ljust(16)))


def accepted(
    case: Case,
    certificate: certs.Issued | None,
    tenant: str = "closed",
    calling: str = "ANYBODY",
    chain: bytes | None = None,
) -> None:
    peer = shows(case, certificate, tenant, chain)
    asks(peer, tenant.upper(), calling)
    peer.accepted()
    case.released(peer)


def rejected(
    case: Case, certificate: certs.Issued | None, reason: str, tenant: str = "closed", calling: str = "CT1"
) -> None:
    """Expect RJ 1/1/3 for this reason, after a complete handshake."""
    peer = shows(case, certificate, tenant)
    asks(peer, tenant.upper(), calling)
    assert peer.rejected() == "1/1/3"
    case.refused(peer, reason)


def alerted(case: Case, certificate: certs.Issued | None, alert: str, reason: str, tenant: str = "closed") -> None:
    peer = shows(case, certificate, tenant)
    assert peer.refused_by_alert() == alert
    case.refused(peer, reason)


def valid(start: datetime.timedelta, end: datetime.timedelta) -> tuple[datetime.datetime, datetime.datetime]:
    return certs.now() + start, certs.now() + end
