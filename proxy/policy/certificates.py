"""The trust in a verified client certificate at one tenant, and the conditions of a peer that it meets."""

from proxy.policy.model import (
    CertificateConditions,
    ClientAuth,
    ClientAuthMode,
    Entrance,
    ListenerPolicy,
    VerifiedCertificate,
)
from proxy.policy.patterns import matches_dns, matches_uri
from proxy.policy.reasons import Reason


def is_anchored(certificate: VerifiedCertificate, auth: ClientAuth) -> bool:
    """Return whether the verified chain contains a CA of the tenant. Only then are the names in it trusted."""
    return any(issuer in auth.anchors for issuer in certificate.issuers)


def check_client_auth(
    listener: ListenerPolicy, entrance: Entrance, certificate: VerifiedCertificate | None, *, by_sni: bool
) -> tuple[Reason, str] | None:
    """Return reason and detail if the tenant's client authentication refuses this sender, else None."""
    auth = entrance.client_auth
    if auth.mode is ClientAuthMode.NONE:
        return None
    # Without SNI the handshake was made under the listener's context. If that asks for no certificate, the sender could
    # not show one, and must send the tenant's server name instead.
    if auth.mode is ClientAuthMode.REQUIRED:
        if not listener.tls:
            return (
                Reason.CERTIFICATE_REQUIRED,
                f"it requires a client certificate, and listener {listener.name} is plaintext",
            )
        if not by_sni and listener.client_auth.mode is ClientAuthMode.NONE:
            return (
                Reason.SNI_REQUIRED,
                f"it requires a client certificate, and without SNI listener {listener.name} requests none",
            )
        if certificate is None:
            return Reason.CERTIFICATE_REQUIRED, "it requires a client certificate, and the sender presented none"
    if certificate is None or certificate.sha256 in auth.pinned or is_anchored(certificate, auth):
        return None
    return (
        Reason.CLIENT_CERTIFICATE_WRONG_CA,
        f"{describe(certificate)} is neither pinned there nor issued by one of its CAs",
    )


def check_conditions(
    conditions: CertificateConditions, certificate: VerifiedCertificate, auth: ClientAuth
) -> str | None:
    """Return in words the first condition of a peer that the certificate does not meet; None if it meets all."""
    if certificate.problem is not None:
        return f"{describe(certificate)} cannot be used ({certificate.problem})"
    if conditions.file is not None and certificate.sha256 not in conditions.file:
        return f"{describe(certificate)} is not one of the certificates under file"
    if conditions.sha256 is not None and certificate.sha256 not in conditions.sha256:
        return f"the SHA-256 of {describe(certificate)} is not listed"
    if conditions.spki_sha256 is not None and certificate.spki_sha256 not in conditions.spki_sha256:
        return f"the public key of {describe(certificate)} is not listed"
    exact = not (conditions.file is None and conditions.sha256 is None and conditions.spki_sha256 is None)
    if not exact and not is_anchored(certificate, auth):
        # A device can write any name into a self-signed certificate: pinned for one peer, it must not name another.
        return f"no CA of the tenant issued {describe(certificate)}, so its names are not trusted"
    return _check_names(conditions, certificate, auth)


def _check_names(conditions: CertificateConditions, certificate: VerifiedCertificate, auth: ClientAuth) -> str | None:
    for kind, patterns, names, matches in (
        ("san_dns", conditions.san_dns, certificate.san_dns, matches_dns),
        ("san_uri", conditions.san_uri, certificate.san_uri, matches_uri),
        ("subject_cn", conditions.subject_cn, certificate.subject_cn, str.__eq__),
    ):
        if patterns is not None and not any(matches(pattern, name) for pattern in patterns for name in names):
            return f"{kind} of {describe(certificate)} is {_listed(names)}, not {_listed(patterns)}"
    if conditions.ca is not None:
        cas = sorted({name for issuer in certificate.issuers for name in auth.anchors.get(issuer, ())})
        if not any(name in conditions.ca for name in cas):
            return f"the CA of {describe(certificate)} is {_listed(cas)}, not {_listed(conditions.ca)}"
    return None


def describe(certificate: VerifiedCertificate) -> str:
    """Describe a certificate by its subject, which its owner may have made up, and the start of its fingerprint."""
    return f"certificate {certificate.subject!r} (SHA-256 {certificate.sha256[:16]}…)"


def _listed(values: "tuple[str, ...] | list[str]", most: int = 4) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return (", ".join(map(repr, values[:most])) or "absent") + more
