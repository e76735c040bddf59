"""Presents a file for `pki inspect`: its certificates, CRLs and requests, and the places of a configuration that fit.

`proxy.x509` reads and judges them, so `pki inspect`, `check` and the live path agree.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.x509.certificate import Certificate, Unreadable, read
from proxy.x509.crl import Crl, read_crl
from proxy.x509.extensions import ANY_USAGE, CLIENT_AUTH, SERVER_AUTH
from proxy.x509.files import blocks
from proxy.x509.requests import REQUEST_LABELS, Request, read_request
from proxy.x509.strength import weakness

_USAGE_WORDS = {SERVER_AUTH: "server", CLIENT_AUTH: "client", ANY_USAGE: "any"}
_CERTIFICATE_LABELS = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")


class InspectionError(Exception):
    """The file contains nothing that can be shown. The text names its content."""


@dataclass(frozen=True, slots=True)
class Use:
    """A place in the configuration. `possible`: the certificate fits there. `detail`: the obstacle, or a remark."""

    place: str
    possible: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """One certificate. `usage`: extendedKeyUsage, None without one. `spki_sha256`: base64, as in `peers[].cert`.

    `serial` and `sha256` are hex. `unreadable`: each field that cannot be read in full, with the reason.
    """

    subject: str
    issuer: str
    serial: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    key: str
    signature: str
    is_ca: bool
    dns: tuple[str, ...]
    uri: tuple[str, ...]
    ip: tuple[str, ...]
    usage: tuple[str, ...] | None
    sha256: str
    spki_sha256: str
    unreadable: dict[str, str]
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True)
class ShownCrl:
    """One CRL. The serials are hex."""

    issuer: str
    number: int | None
    last_update: datetime.datetime
    next_update: datetime.datetime | None
    revoked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownRequest:
    """One certificate signing request."""

    subject: str
    key: str
    signature_valid: bool
    dns: tuple[str, ...]
    uri: tuple[str, ...]
    ip: tuple[str, ...]


Shown = ShownCertificate | ShownCrl | ShownRequest


def inspect(data: bytes, now: datetime.datetime) -> list[Shown]:
    """Return all certificates, CRLs and requests of a PEM or DER file. Raises InspectionError if there is none."""
    try:
        pem = list(blocks(data))
        shown = [one for label, der in pem for one in _of_block(label, der, now)] if pem else [_of_der(data, now)]
    except ValueError as error:
        raise InspectionError(f"cannot be read: {error}") from None
    if not shown:
        raise InspectionError(f"holds {pem[0][0]} and no certificate, CRL or request")
    return shown


def _of_block(label: str, der: bytes, now: datetime.datetime) -> Iterator[Shown]:
    if label in _CERTIFICATE_LABELS:
        yield show_certificate(read(der), now)
    elif label == "X509 CRL":
        yield _show_crl(read_crl(der))
    elif label in REQUEST_LABELS:
        yield _show_request(read_request(der))


def _of_der(data: bytes, now: datetime.datetime) -> Shown:
    # DER has no label, and the three kinds begin alike: try each.
    try:
        return show_certificate(read(data), now)
    except Unreadable:
        pass
    try:
        return _show_crl(read_crl(data))
    except ValueError:
        pass
    try:
        return _show_request(read_request(data))
    except ValueError:
        raise InspectionError(
            "holds no certificate, CRL or request in PEM or DER "
            "(PKCS#12: openssl pkcs12 -in FILE -nokeys -out certificates.pem)"
        ) from None


def show_certificate(certificate: Certificate, now: datetime.datetime) -> ShownCertificate:
    """Return every field that can be read, and each place of a configuration with the verdict on it."""
    usages = certificate.extended_key_usage
    return ShownCertificate(
        subject=certificate.subject.text,
        issuer=certificate.issuer.text,
        serial=certificate.serial_hex,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        key=str(certificate.key),
        signature=certificate.signature_hash or "none",
        is_ca=certificate.is_ca,
        dns=certificate.names.dns,
        uri=certificate.names.uri,
        ip=certificate.names.ip,
        usage=None if usages is None else tuple(_USAGE_WORDS.get(oid, oid) for oid in usages),
        sha256=certificate.sha256,
        spki_sha256=certificate.spki_sha256,
        unreadable=dict(certificate.unreadable),
        uses=tuple(_uses(certificate, now)),
    )


def _show_crl(crl: Crl) -> ShownCrl:
    serials = tuple(f"{serial:x}" for serial in crl.serials)
    return ShownCrl(crl.issuer, crl.number, crl.last_update, crl.next_update, serials)


def _show_request(request: Request) -> ShownRequest:
    names = request.names
    return ShownRequest(request.subject, str(request.key), request.signature_valid, names.dns, names.uri, names.ip)


def _uses(certificate: Certificate, now: datetime.datetime) -> Iterator[Use]:
    """Yield each place of a configuration that takes a certificate, and whether this one fits."""
    untimely = _unreadable(certificate) or _untimely(certificate, now)
    # No verifier checks the signature of a certificate that is trusted as itself (pinned, or a CA). A weak signature
    # counts only where an issuer vouches for the certificate.
    as_itself = untimely or weakness(certificate, anchor=True) or ""
    by_issuer = untimely or weakness(certificate) or ""
    yield _as_server(certificate, by_issuer)
    yield _as_device(certificate, "sent by a device, matched by peers[].cert", by_issuer)
    pinned = _as_device(certificate, "peers[].cert.file (pinned)", as_itself)
    if pinned.possible and certificate.is_ca:
        pinned = Use(pinned.place, True, "a CA certificate; pinned it stands for itself and can issue nothing")
    yield pinned
    yield _as_authority(certificate, as_itself)


def _as_server(certificate: Certificate, unfit: str) -> Use:
    place = "listeners.*.tls.certificates"
    refusal = unfit or _cannot_authenticate(certificate, "server", allowed=certificate.for_servers)
    if refusal:
        return Use(place, False, refusal)
    if not certificate.names.dns:
        return Use(place, True, "no DNS name: senders that check the name of the server will not connect")
    return Use(place, True, _remark(certificate))


def _as_device(certificate: Certificate, place: str, unfit: str) -> Use:
    refusal = unfit or _cannot_authenticate(certificate, "client", allowed=certificate.for_clients)
    return Use(place, not refusal, refusal or _remark(certificate))


def _as_authority(certificate: Certificate, unfit: str) -> Use:
    place = "client_auth.ca"
    if not certificate.is_ca:
        return Use(place, False, "not a CA certificate; a device's own goes under peers[].cert.file")
    if not certificate.may("keyCertSign"):
        return Use(place, False, "its keyUsage does not allow it to sign certificates")
    return Use(place, not unfit, unfit or _remark(certificate))


def _cannot_authenticate(certificate: Certificate, kind: str, *, allowed: bool) -> str:
    if not allowed:
        return f"its extendedKeyUsage does not allow {kind} authentication"  # "any" is not enough for OpenSSL
    if not certificate.may("digitalSignature"):
        return "its keyUsage does not allow it to sign handshakes"
    return ""


def _remark(certificate: Certificate) -> str:
    return f"{certificate.key} keys are not understood by DCMTK" if certificate.key.is_edwards else ""


def _unreadable(certificate: Certificate) -> str:
    return f"unreadable in part: {', '.join(certificate.unreadable)}" if certificate.unreadable else ""


def _untimely(certificate: Certificate, now: datetime.datetime) -> str:
    if now > certificate.not_after:
        return f"expired on {certificate.not_after:%Y-%m-%d}"
    if now < certificate.not_before:
        return f"not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC"
    return ""
