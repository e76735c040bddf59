"""The end of each configured certificate and revocation list, for metrics and warnings.

Label values come from the configuration, never from subjects: the file of a certificate of the gateway and of an
upstream's CA, the name under `client_auth.ca` of a clients' CA, and `tenant/peer` of a pinned device certificate.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proxy.config.values import ClientAuthSettings, Config, TlsSettings, UpstreamTls
from proxy.x509.certificate import Certificate
from proxy.x509.crl import read_crls
from proxy.x509.files import read_certificates

NOT_AFTER = "tls_certificate_not_after_timestamp_seconds"
NEXT_UPDATE = "crl_next_update_timestamp_seconds"

#: Metric name and label values, as `Metrics.set` takes them -> seconds since the epoch.
Series = dict[tuple[str, tuple[str, ...]], float]


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of all certificates and CRLs that one configuration names.

    `refusing`: the CAs, by their label in `series`, whose certificates are refused after the end of their CRL.
    """

    series: Series
    refusing: frozenset[str]


def read_ends(config: Config) -> Ends:
    """Read the certificates and CRLs in use. Raises ValueError for a broken file, which loading has ruled out."""
    # `Config` keeps pinned certificates as files of a listener; the fingerprint leads back to the peer.
    peers = {
        sha256: f"{tenant.name}/{peer.name}"
        for tenant in config.tenants.values()
        for peer in tenant.peers
        if peer.cert is not None
        for sha256 in peer.cert.file or ()
    }
    series: Series = {}
    refusing = set[str]()
    for tls in _listener_tls(config):
        for pair in tls.certificates:
            series |= _validity("server", pair.chain.path, read_certificates(pair.chain.data))
        series |= _of_client_auth(tls.client_auth, peers)
        lists = _of_crls(tls.client_auth)
        series |= lists
        if tls.client_auth.crl_expired != "accept":
            refusing.update(labels[0] for _, labels in lists)
    for upstream in config.upstreams.values():
        if upstream.tls is not None:
            series |= _of_upstream(upstream.tls)
    return Ends(series, frozenset(refusing))


def _listener_tls(config: Config) -> Iterator[TlsSettings]:
    for listener in config.listeners:
        for tls in (listener.tls, *listener.tenant_tls.values()):
            if tls is not None:
                yield tls


def _of_upstream(tls: UpstreamTls) -> Series:
    series: Series = {}
    for use, file in (("client", tls.certificate.chain if tls.certificate is not None else None), ("ca", tls.ca)):
        if file is not None:
            series |= _validity(use, file.path, read_certificates(file.data))
    return series


def _of_client_auth(settings: ClientAuthSettings, peers: Mapping[str, str]) -> Series:
    series: Series = {}
    for name, file in settings.ca.items():
        series |= _validity("ca", name, read_certificates(file.data))
    for file in settings.pinned:
        for certificate in read_certificates(file.data):
            series |= _validity("client", peers.get(certificate.sha256, file.path), (certificate,))
    return series


def _of_crls(settings: ClientAuthSettings) -> Series:
    """Return the ends of the revocation lists of one `client_auth`, by the name of their CA."""
    series: Series = {}
    authorities = [(name, ca) for name, file in settings.ca.items() for ca in read_certificates(file.data)]
    for file in settings.crl:
        for crl in read_crls(file.data):
            issuer = next((name for name, ca in authorities if crl.is_of(ca)), file.path)
            key = (NEXT_UPDATE, (issuer,))
            if crl.next_update is not None:  # of several lists the first end counts: from then on the CA is refused
                series[key] = min(crl.next_update.timestamp(), series.get(key, float("inf")))
    return series


def _validity(use: str, name: str, certificates: tuple[Certificate, ...]) -> Series:
    series: Series = {}
    for certificate in certificates:
        labels = (use, name, certificate.serial_hex)
        series[NOT_AFTER, labels] = certificate.not_after.timestamp()
        series["tls_certificate_not_before_timestamp_seconds", labels] = certificate.not_before.timestamp()
    return series
