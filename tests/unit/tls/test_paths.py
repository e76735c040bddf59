from collections.abc import Sequence

import pytest
from cryptography import x509

from proxy.tls.paths import stands_above
from proxy.x509.certificate import Certificate
from tests.support import certs
from tests.support.certs import ANY, CLIENT, DAY, SERVER, Issued

NOW = certs.now().timestamp()


def chain_below(root: Issued) -> tuple[Certificate, ...]:
    issuing = certs.ca("Issuing", issuer=root)
    return certs.leaf("CT1", issuing).facts, issuing.facts


def root_with(*extra: x509.ExtensionType, pathlen: int | None = None) -> Issued:
    return certs.ca("Root", pathlen=pathlen, extra=[(extension, True) for extension in extra])


@pytest.mark.parametrize(
    ("root", "stands"),
    [
        (certs.ca("Root"), True),
        (certs.ca("Root", kind="rsa2048"), True),
        (root_with(pathlen=1), True),
        (root_with(pathlen=0), False),
        (root_with(x509.ExtendedKeyUsage([CLIENT, SERVER])), True),
        (root_with(x509.ExtendedKeyUsage([SERVER])), False),
        (root_with(x509.ExtendedKeyUsage([ANY])), False),
        (root_with(x509.NameConstraints([x509.DNSName("example.org")], None)), False),
        (certs.ca("Root", valid=(certs.now() - 9 * DAY, certs.now() - DAY)), False),
        (certs.ca("Root", valid=(certs.now() + DAY, certs.now() + 9 * DAY)), False),
        (certs.self_signed("Root"), True),
        (certs.self_signed("Root", ca_flag=False), False),
        (certs.self_signed("Root", ca_flag=None), False),
    ],
)
def test_an_authority_above(root: Issued, stands: bool) -> None:
    assert stands_above(root.facts, chain_below(root), NOW) is stands


@pytest.mark.parametrize(
    "stranger", [certs.ca("Other"), certs.ca("Root", slot="other key"), certs.ca("Root", kind="rsa2048")]
)
def test_a_stranger(stranger: Issued) -> None:
    assert not stands_above(stranger.facts, chain_below(certs.ca("Root")), NOW)


def test_a_signature_with_sha_1_counts_for_nothing() -> None:
    root = certs.ca("Root", kind="rsa2048")
    chain: Sequence[Issued] = (certs.sha1_signed(certs.leaf("CT1", root)),)
    assert not stands_above(root.facts, tuple(one.facts for one in chain), NOW)
