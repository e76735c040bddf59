"""Finds a CA above a chain that OpenSSL has verified up to one of its own anchors (RFC 5280 section 6.1)."""

from proxy.x509.certificate import Certificate
from proxy.x509.extensions import CLIENT_AUTH

Chain = tuple[Certificate, ...]


def stands_above(authority: Certificate, chain: Chain, now: float) -> bool:
    """Return whether `authority` issued the last certificate of `chain` (leaf first), was allowed to, and is valid.

    `now`: seconds since the epoch. Raises Unreadable.
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
        # OpenSSL would check name constraints, but it has stopped at the anchor below, and nothing here checks them. So
        # a CA that has some does not count.
        and not authority.limits_names
    )
