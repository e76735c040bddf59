"""When the configured certificates and revocation lists end, for the alerts on them.

Named by the configuration, never by their subjects: a certificate of the gateway by its file, and so the CA of an
upstream; a CA of clients by its name under `client_auth.ca`, a pinned device certificate by tenant and peer.
"""

from collections.abc import Mapping

from proxy.config.values import ClientAuthSettings, Config, UpstreamTls
from proxy.x509.certificate import Certificate
from proxy.x509.crl import read_crls
from proxy.x509.files import read_certificates

NOT_AFTER = "tls_certificate_not_after_timestamp_seconds"
NEXT_UPDATE = "crl_next_update_timestamp_seconds"

#: Metric name and label values, as `Metrics.set` takes them -> seconds since the epoch.
Series = dict[tuple[str, tuple[str, ...]], float]


def certificate_series(config: Config) -> Series:
    """`tls_certificate_not_*` and `crl_next_update` of all that is in use. Raises ValueError on unchecked files."""
    series: Series = {}
    peers = {
        sha256: f"{tenant.name}/{peer.name}"
        for tenant in config.tenants.values()
        for peer in tenant.peers
        if peer.cert is not None
        for sha256 in peer.cert.file or ()
    }
    for listener in config.listeners:
        for tls in (listener.tls, *listener.tenant_tls.values()):
            if tls is not None:
                for pair in tls.certificates:
                    for certificate in read_certificates(pair.chain.data):
                        series |= _validity("server", pair.chain.path, certificate)
                series |= _of_client_auth(tls.client_auth, peers)
    for upstream in config.upstreams.values():
        if upstream.tls is not None:
            series |= _of_upstream(upstream.tls)
    return series


def _of_upstream(tls: UpstreamTls) -> Series:
    series: Series = {}
    for use, file in (("client", tls.certificate.chain if tls.certificate is not None else None), ("ca", tls.ca)):
        if file is not None:
            for certificate in read_certificates(file.data):
                series |= _validity(use, file.path, certificate)
    return series


def _of_client_auth(settings: ClientAuthSettings, peers: Mapping[str, str]) -> Series:
    series: Series = {}
    for name, file in settings.ca.items():
        for certificate in read_certificates(file.data):
            series |= _validity("ca", name, certificate)
    for file in settings.pinned:
        for certificate in read_certificates(file.data):
            series |= _validity("client", peers.get(certificate.sha256, file.path), certificate)
    return series | crl_series(settings)


def crl_series(settings: ClientAuthSettings) -> Series:
    """When the revocation lists of one `client_auth` end, by the name of their CA."""
    series: Series = {}
    authorities = [(name, ca) for name, file in settings.ca.items() for ca in read_certificates(file.data)]
    for file in settings.crl:
        for crl in read_crls(file.data):
            issuer = next((name for name, ca in authorities if crl.is_of(ca)), file.path)
            key = (NEXT_UPDATE, (issuer,))
            if crl.next_update is not None:  # of several lists the one that ends first decides
                series[key] = min(crl.next_update.timestamp(), series.get(key, float("inf")))
    return series


def _validity(use: str, name: str, certificate: Certificate) -> Series:
    labels = (use, name, certificate.serial_hex)
    return {
        (NOT_AFTER, labels): certificate.not_after.timestamp(),
        ("tls_certificate_not_before_timestamp_seconds", labels): certificate.not_before.timestamp(),
    }
