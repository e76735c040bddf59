"""A certificate presented without its key is judged as in a real handshake with the key."""

import time
from collections.abc import Callable

import pytest

from proxy.explain.presenting import Unaccepted, present
from proxy.policy import Reason, VerifiedCertificate
from proxy.tls.contexts import ServerContext
from proxy.tls.failures import explain_handshake_failure
from proxy.tls.profiles import PROFILES
from tests.support import certs
from tests.support.tls_pair import client, server_root, server_settings, shake_hands

AUTHORITY = certs.ca("Device CA")
INTERMEDIATE = certs.ca("Ward CA", issuer=AUTHORITY)
PINNED = certs.self_signed("PINNED")
REVOKED = certs.leaf("REVOKED", AUTHORITY)

SHOWN: dict[str, Callable[[], certs.Issued | None]] = {
    "nothing": lambda: None,
    "of the CA": lambda: certs.leaf("CT1", AUTHORITY),
    "of an intermediate": lambda: certs.leaf("CT2", INTERMEDIATE),
    "pinned": lambda: PINNED,
    "of a pinned one": lambda: certs.leaf("CT3", PINNED),
    "of a stranger": lambda: certs.self_signed("CT4"),
    "expired": lambda: certs.leaf("CT5", AUTHORITY, valid=(certs.now() - 9 * certs.DAY, certs.now() - certs.DAY)),
    "early": lambda: certs.leaf("CT6", AUTHORITY, valid=(certs.now() + certs.DAY, certs.now() + 9 * certs.DAY)),
    "for servers": lambda: certs.leaf("CT7", AUTHORITY, eku=[certs.SERVER]),
    "revoked": lambda: REVOKED,
    "weak": lambda: certs.leaf("CT8", AUTHORITY, kind="rsa1024"),
}


def context(profile: str, mode: str) -> ServerContext:
    settings = server_settings(
        profile=profile, mode=mode, ca={"devices": [AUTHORITY]}, pinned=[PINNED], revoked=[REVOKED]
    )
    return ServerContext(settings)


def by_handshake(context: ServerContext, shown: certs.Issued | None) -> VerifiedCertificate | Reason | None:
    handshake = shake_hands(context, client(shown))
    if handshake.server_error is not None:
        return explain_handshake_failure(handshake.server_error, handshake.hello, context.profile)[0]
    return context.client_certificate(handshake.server, time.time())


def by_presenting(context: ServerContext, shown: certs.Issued | None) -> VerifiedCertificate | Reason | None:
    chain = [shown.facts] if shown is not None else []
    if shown is not None and shown.issuer is INTERMEDIATE:
        chain.append(INTERMEDIATE.facts)
    try:
        return present(context, chain)
    except Unaccepted as error:
        return error.reason


@pytest.mark.parametrize("mode", ["optional", "required"])
@pytest.mark.parametrize("profile", sorted(PROFILES.keys() - {"legacy-aes"}))  # its handshake needs an older client
@pytest.mark.parametrize("what", SHOWN)
def test_the_outcome_is_that_of_a_handshake(what: str, profile: str, mode: str) -> None:
    shown = SHOWN[what]()
    assert by_presenting(context(profile, mode), shown) == by_handshake(context(profile, mode), shown)


def test_an_ecdsa_certificate_of_ours_may_go_with_rsa_suites() -> None:
    settings = server_settings(
        profile="bcp195-nondowngrading",
        mode="required",
        ca={"devices": [AUTHORITY]},
        certificates=[certs.server("gate", server_root())],
    )
    certificate = present(ServerContext(settings), [certs.leaf("CT1", AUTHORITY).facts])
    assert certificate is not None
    assert certificate.problem is None


@pytest.mark.parametrize("profile", PROFILES)
def test_a_curve_on_which_no_handshake_ends_is_refused(profile: str) -> None:
    with pytest.raises(Unaccepted) as caught:
        present(context(profile, "required"), [certs.leaf("CT9", AUTHORITY, kind="p224").facts])
    assert caught.value.reason is Reason.CLIENT_CERTIFICATE_WEAK


def test_a_chain_of_many_records_is_refused_as_openssl_does() -> None:
    chain = [certs.leaf("CT1", AUTHORITY).facts] * 400
    with pytest.raises(Unaccepted) as caught:
        present(context("bcp195-rfc8996", "required"), chain)
    assert caught.value.reason is Reason.TLS_FAILED
