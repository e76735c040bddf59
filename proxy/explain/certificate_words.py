"""Certificates in words, for `pki inspect` and `echo`."""

import datetime
from collections.abc import Iterator

from proxy.pki.inspection import Shown, ShownCertificate, ShownCrl, ShownRequest

EXPIRY_WARNING = datetime.timedelta(days=30)


def validity(not_after: datetime.datetime, now: datetime.datetime) -> tuple[str, str]:
    """Return the end of validity with the days left, and a style that warns in the last thirty days."""
    left = not_after - now
    if left < datetime.timedelta(0):
        return f"EXPIRED on {not_after:%Y-%m-%d %H:%M} UTC", "bold red"
    text = f"until {not_after:%Y-%m-%d} ({left.days} days left)"
    return text, "yellow" if left < EXPIRY_WARNING else ""


def describe(facts: Shown, now: datetime.datetime) -> Iterator[tuple[str, str, str]]:
    """Yield label, value and style of each line."""
    if isinstance(facts, ShownCertificate):
        yield from _certificate(facts, now)
    elif isinstance(facts, ShownCrl):
        yield "CRL of", facts.issuer, "bold"
        yield "number", str(facts.number) if facts.number is not None else "-", ""
        yield "from", f"{facts.last_update:%Y-%m-%d %H:%M} UTC", ""
        yield "next update", *(validity(facts.next_update, now) if facts.next_update else ("not given", ""))
        yield "revoked", ", ".join(facts.revoked) or "nothing", ""
    else:
        yield "request for", facts.subject, "bold"
        yield from _names(facts)
        yield "key", facts.key, ""
        yield "signature", *(("verifies", "") if facts.signature_valid else ("DOES NOT VERIFY", "bold red"))


def _certificate(facts: ShownCertificate, now: datetime.datetime) -> Iterator[tuple[str, str, str]]:
    yield "subject", facts.subject or "(empty)", "bold"
    yield "issuer", facts.issuer if facts.issuer != facts.subject else "itself", ""
    yield from _names(facts)
    yield "key", f"{facts.key}, signed with {facts.signature}", ""
    if facts.not_before > now:
        yield "valid", f"NOT BEFORE {facts.not_before:%Y-%m-%d %H:%M} UTC", "bold red"
    yield "valid", *validity(facts.not_after, now)
    yield "CA", "yes" if facts.is_ca else "no", ""
    yield "usage", ", ".join(facts.usage) if facts.usage is not None else "any (no extendedKeyUsage)", ""
    yield "serial", facts.serial, ""
    yield "sha256", facts.sha256, ""
    yield "spki_sha256", facts.spki_sha256, ""
    for field, why in facts.unreadable.items():
        yield "unreadable", f"{field}: {why}", "yellow"
    for use in facts.uses:
        answer = "yes" if use.possible else "no"
        yield f"  {answer}", use.place + (f": {use.detail}" if use.detail else ""), "" if use.possible else "yellow"


def _names(facts: ShownCertificate | ShownRequest) -> Iterator[tuple[str, str, str]]:
    for label, values in (("san_dns", facts.dns), ("san_uri", facts.uri), ("san_ip", facts.ip)):
        if values:
            yield label, ", ".join(values), ""
