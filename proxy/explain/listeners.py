"""The effective settings of each listener, for `dicomgate check`: after inheritance and defaults."""

import datetime
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from proxy.config.findings import Finding
from proxy.config.values import ClientAuthSettings, Config, KeyPair, Listener, ProxyProtocol, TlsSettings
from proxy.explain.permissions import EffectivePeer, describe_peers
from proxy.explain.sni_table import SniRow, describe_sni
from proxy.policy import ClientAuthMode, Entrance, Network
from proxy.policy.addresses import format_endpoint
from proxy.tls.contexts import ListenerTls
from proxy.tls.errors import TlsSetupError
from proxy.tls.profiles import PROFILES, Profile, missing_suites
from proxy.tls.upstreams import upstream_contexts
from proxy.x509.crl import read_crls
from proxy.x509.files import read_certificates


@dataclass(frozen=True, slots=True)
class EffectiveCertificate:
    """A certificate of the gateway. `not_after` is RFC 3339."""

    file: str
    dns: tuple[str, ...]
    key: str
    not_after: str


@dataclass(frozen=True, slots=True)
class EffectiveCrl:
    """A CRL of `client_auth.crl`. `revoked`: number of certificates; `next_update`: RFC 3339, or None."""

    file: str
    issuer: str
    revoked: int
    next_update: str | None


@dataclass(frozen=True, slots=True)
class EffectiveRevocation:
    """The revocation of client certificates. `crl_expired`: refuse or accept; `revoked`: SHA-256 fingerprints."""

    crls: tuple[EffectiveCrl, ...]
    crl_expired: str
    revoked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EffectiveListenerTls:
    """TLS of a listener, for a client that sends no tenant's server name."""

    profile: str
    section: str  # of PS3.15
    retired: bool
    client_auth: str
    ca: tuple[str, ...]
    ca_files: tuple[str, ...]  # one for each name in `ca`
    pinned: int
    revocation: EffectiveRevocation
    certificates: tuple[EffectiveCertificate, ...]
    missing_suites: tuple[str, ...]  # suites of the profile that this OpenSSL lacks


@dataclass(frozen=True, slots=True)
class EffectiveTenant:
    """A tenant, as clients of one listener reach it."""

    name: str
    where: str
    server_names: tuple[str, ...]
    networks: tuple[str, ...] | str
    called_aets: tuple[str, ...] | str
    profile: str | None
    client_auth: str
    revocation: EffectiveRevocation | None
    rewrite_called_aet: str | None
    peers: tuple[EffectivePeer, ...]


@dataclass(frozen=True, slots=True)
class EffectiveProxyProtocol:
    """The PROXY header that the listener demands. `versions`: v1, v2 or both."""

    versions: tuple[str, ...]
    trusted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EffectiveListener:
    """A listener, with the tenants that it reaches and the answers to its clients."""

    name: str
    where: str
    bind: tuple[str, ...]
    networks: tuple[str, ...] | str
    proxy_protocol: EffectiveProxyProtocol | None
    default_tenant: str | None
    tls: EffectiveListenerTls | None
    tenants: tuple[EffectiveTenant, ...]
    sni: tuple[SniRow, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the value for `--format json`."""
        return asdict(self)


def try_tls(config: Config) -> Iterator[Finding]:
    """Build every TLS context and complete a handshake in memory with each listener's, as `run` does. Yield errors."""
    for listener in config.listeners:
        if listener.tls is None:
            continue
        try:
            ListenerTls(listener).self_test()
        except TlsSetupError as error:
            yield Finding("E311", "error", "", f"listeners.{listener.name}.tls", str(error))
    for upstream in config.upstreams.values():
        try:
            upstream_contexts([upstream])
        except TlsSetupError as error:
            yield Finding("E311", "error", "", f"upstreams.{upstream.name}.tls", str(error))


def describe_listeners(config: Config) -> list[EffectiveListener]:
    """Return the effective settings of every listener, in the order of the file."""
    return [_listener(listener) for listener in config.listeners]


def _listener(listener: Listener) -> EffectiveListener:
    policy = listener.policy
    return EffectiveListener(
        name=listener.name,
        where=listener.where,
        bind=tuple(format_endpoint(*address) for address in listener.bind),
        networks=_networks(policy.networks),
        proxy_protocol=None if listener.proxy_protocol is None else _proxy_protocol(listener.proxy_protocol),
        default_tenant=policy.default_tenant,
        tls=_tls(listener.tls) if listener.tls is not None else None,
        tenants=tuple(_tenant(listener, entrance) for entrance in policy.entrances),
        sni=tuple(describe_sni(policy)),
        notes=tuple(_notes(listener)),
    )


def _proxy_protocol(protocol: ProxyProtocol) -> EffectiveProxyProtocol:
    versions = tuple(f"v{version}" for version in sorted(protocol.versions))
    return EffectiveProxyProtocol(versions, tuple(map(str, protocol.trusted)))


def _tls(settings: TlsSettings) -> EffectiveListenerTls:
    profile, auth = PROFILES[settings.profile], settings.client_auth
    return EffectiveListenerTls(
        profile=profile.name,
        section=profile.section,
        retired=profile.retired,
        client_auth=auth.mode,
        ca=tuple(auth.ca),
        ca_files=tuple(file.path for file in auth.ca.values()),
        pinned=len(auth.pinned),
        revocation=_revocation(auth),
        certificates=tuple(map(describe_certificate, settings.certificates)),
        missing_suites=tuple(missing_suites(profile)),
    )


def _revocation(auth: ClientAuthSettings) -> EffectiveRevocation:
    crls = [
        EffectiveCrl(
            file.path,
            crl.issuer,
            len(crl.serials),
            crl.next_update.isoformat(timespec="seconds") if crl.next_update is not None else None,
        )
        for file in auth.crl
        for crl in read_crls(file.data)
    ]
    return EffectiveRevocation(tuple(crls), auth.crl_expired, tuple(sorted(auth.revoked)))


def describe_certificate(pair: KeyPair) -> EffectiveCertificate:
    """Describe a certificate of the gateway. Loading the configuration has checked that it is readable."""
    leaf = read_certificates(pair.chain.data)[0]
    not_after = leaf.not_after.isoformat(timespec="seconds")
    return EffectiveCertificate(pair.chain.path, leaf.names.dns, str(leaf.key), not_after)


def _tenant(listener: Listener, entrance: Entrance) -> EffectiveTenant:
    tenant = entrance.tenant
    tls = listener.tenant_tls.get(tenant.name, listener.tls)
    titles = None if tenant.called_aets is None else tuple(sorted({*tenant.called_aets, *tenant.routes}))
    return EffectiveTenant(
        name=tenant.name,
        where=tenant.where.get("", ""),
        server_names=tenant.server_names,
        networks=_networks(tenant.networks),
        called_aets="any" if titles is None else titles,
        profile=tls.profile if tls is not None else None,
        client_auth=entrance.client_auth.mode,
        revocation=_revocation(tls.client_auth) if tls is not None else None,
        rewrite_called_aet=tenant.rewrite_called_aet,
        peers=describe_peers(tenant),
    )


def _notes(listener: Listener) -> Iterator[str]:
    for entrance in listener.policy.entrances:
        until = entrance.tenant.observe_until
        if until is not None and until > time.time():
            end = f"{datetime.datetime.fromtimestamp(until, datetime.UTC):%Y-%m-%d %H:%M} UTC"
            yield f"tenant {entrance.tenant.name} lets refusals by policy pass until {end} (observe_until)"
    if listener.tls is None:
        return
    settings = [listener.tls, *listener.tenant_tls.values()]
    for profile in {name: PROFILES[name] for name in (tls.profile for tls in settings)}.values():
        yield from profile_notes(profile)
    for entrance in listener.policy.entrances:
        own, base = entrance.client_auth.mode, listener.policy.client_auth.mode
        # Without SNI the handshake runs under the listener's own settings, and the tenant is found only afterwards. A
        # handshake that asked for no certificate can never satisfy a tenant that demands one.
        if own is ClientAuthMode.REQUIRED and base is not own and entrance.tenant.server_names:
            without = "it cannot be reached (sni_required)"
            if base is ClientAuthMode.OPTIONAL:
                without = "a sender that shows none is refused once its request is read (certificate_required)"
            yield f"tenant {entrance.tenant.name} requires a client certificate: without SNI {without}"


def profile_notes(profile: Profile) -> Iterator[str]:
    """Yield the limits of a profile: suites that this OpenSSL does not serve, retirement from PS3.15."""
    missing = missing_suites(profile)
    newer = [suite for suite in missing if suite in profile.tls13_suites]
    older = [suite for suite in missing if suite not in profile.tls13_suites]
    if newer:
        served = len(profile.tls13_suites) - len(newer)
        yield f"{profile.name}: with TLS 1.3 the {served} default suites are served, {', '.join(newer)} are not"
    if older:
        yield f"{profile.name}: this OpenSSL has no {', '.join(older)}"
    if profile.retired:
        yield f"{profile.name} is retired from PS3.15 ({profile.section}): only for devices that support nothing newer"


def _networks(networks: tuple[Network, ...] | None) -> tuple[str, ...] | str:
    return "any" if networks is None else tuple(map(str, networks))
