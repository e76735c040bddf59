"""Sorts DicomTlsTrustedCertificates into CAs and device certificates, and gives each device its own. Pure.

Orthanc trusts every certificate of the file as a root. A self-signed one made by `openssl req -x509` has CA:TRUE, so
its device could issue others, and each of these could come with any AE title. Here a self-signed certificate is pinned:
it is trusted as itself and as no issuer.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from proxy.orthanc.model import Modality
from proxy.policy.patterns import fold_title
from proxy.x509.certificate import Certificate

CA_NAME = "default"  # the name of the one file under client_auth.ca

Binding = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """The certificates of the file, sorted. `ignored`: neither a CA nor self-signed; OpenSSL accepts no such root."""

    authorities: tuple[Certificate, ...] = ()
    devices: tuple[Certificate, ...] = ()
    ignored: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """The certificates that senders must show; with no field set, no certificate is asked for.

    `files`: SHA-256 -> file of each device certificate. `unclaimed`: SHA-256 of those that name no modality.
    """

    ca_file: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    by_title: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # folded title -> SHA-256 of its own
    unclaimed: tuple[str, ...] = ()

    def bindings(self, title: str) -> list[Binding]:
        """Return the `cert` of each entry of a title. An empty `cert` accepts any verified certificate."""
        own = self.by_title.get(fold_title(title))
        if own:
            return [self._pins(own)]
        if not self.files:
            return [{}]
        # A title that no certificate names may show an unclaimed one; if all are claimed, any of them, as to Orthanc.
        pins = self._pins(tuple(self.files) if title == "*" else self.unclaimed or tuple(self.files))
        return [pins, {"ca": (CA_NAME,)}] if self.ca_file else [pins]

    def _pins(self, digests: Iterable[str]) -> Binding:
        return {"file": tuple(self.files[digest] for digest in digests)}


def sort_bundle(certificates: Sequence[Certificate]) -> Bundle:
    """Tell CAs from devices: a self-signed certificate is a CA only if it also has the key usage of a CA."""
    authorities, devices, ignored = list[Certificate](), list[Certificate](), list[Certificate]()
    for certificate in {item.sha256: item for item in certificates}.values():
        if certificate.is_ca and (not _is_self_signed(certificate) or _signs_certificates(certificate)):
            authorities.append(certificate)
        else:
            (devices if _is_self_signed(certificate) else ignored).append(certificate)
    return Bundle(tuple(authorities), tuple(devices), tuple(ignored))


def make_trust(bundle: Bundle, modalities: Sequence[Modality], files: Mapping[str, str], ca_file: str) -> Trust:
    """Give each device certificate to the titles that it names; the others stay unclaimed, for titles without one."""
    by_title = dict[str, tuple[str, ...]]()
    unclaimed = list[str]()
    for certificate in bundle.devices:
        names = _names(certificate)
        titles = dict.fromkeys(fold_title(modality.aet) for modality in modalities if names & _names_of(modality))
        for title in titles:
            by_title[title] = (*by_title.get(title, ()), certificate.sha256)
        if not titles:
            unclaimed.append(certificate.sha256)
    return Trust(ca_file, files, by_title, tuple(unclaimed))


def file_name(certificate: Certificate) -> str:
    """Return a file name: the common name, for people, and part of the fingerprint, to make it unique."""
    common_name = next(iter(certificate.subject.common_names), "certificate")
    slug = re.sub(r"[^A-Za-z0-9]+", "-", common_name).strip("-").lower()[:32] or "certificate"
    return f"{slug}-{certificate.sha256[:8]}.pem"


def _is_self_signed(certificate: Certificate) -> bool:
    return certificate.issued(certificate)


def _signs_certificates(certificate: Certificate) -> bool:
    """Return whether the key usage of a CA is there (RFC 5280 4.2.1.3). `openssl req -x509` leaves it out."""
    return certificate.key_usage is not None and certificate.may("keyCertSign")


def _names(certificate: Certificate) -> set[str]:
    """Return the names of a certificate in upper case: common names, DNS names and their first labels, addresses."""
    whole = {*certificate.subject.common_names, *certificate.names.dns}
    labels = {name.partition(".")[0] for name in whole if not _is_address(name)}
    names = whole | labels | set(certificate.names.ip)
    # Test certificates are often for localhost, which identifies no device.
    return {name.upper() for name in names} - {"LOCALHOST", "127.0.0.1", "::1"}


def _names_of(modality: Modality) -> set[str]:
    return {name.upper() for name in (modality.aet, modality.name, modality.host) if name}


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
