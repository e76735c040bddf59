"""Finds a CA above a chain that OpenSSL has verified up to one of its own anchors (RFC 5280 section 6.1)."""

from proxy.x509.certificate import Certificate
from proxy.x509.extensions import CLIENT_AUTH

Chain = tuple[Certificate, ...]


def stands_above(authority: Certificate, chain: Chain, now: float) -> bool:
    """Return whether `authority` issued the last certificate of `chain` (leaf first), may have, and is valid `now`.

    An authority that limits names does not count: whether the chain keeps to the limits is not checked here, and
    OpenSSL, which would check it, has stopped below. Raises Unreadable.
    """
    if not authority.issued(chain[-1]):
        return False
    if not authority.not_before.timestamp() <= now <= authority.not_after.timestamp():
        return False
    constraints, usages = authority.basic_constraints, authority.extended_key_usage
    for one in chain[1:]:
        one.require("subject", "issuer")
    # A self-issued certificate (a CA's new key) does not count for the length of the path: RFC 5280 section 4.2.1.9.
    intermediates = sum(not one.is_self_issued for one in chain[1:])
    return (
        constraints is not None
        and constraints.is_ca
        and (constraints.path_length is None or intermediates <= constraints.path_length)
        and authority.may("keyCertSign")
        and (usages is None or CLIENT_AUTH in usages)
        and not authority.limits_names
    )
