"""The connection to each upstream in words, for `dicomgate check` and `explain`."""

from dataclasses import asdict, dataclass
from typing import Any

from proxy.config.values import Config, HealthCheck, Upstream, UpstreamTls
from proxy.explain.listeners import EffectiveCertificate, describe_certificate, profile_notes
from proxy.tls.profiles import PROFILES


@dataclass(frozen=True, slots=True)
class EffectiveUpstreamTls:
    """TLS to an upstream. `server_names`: one for each server. `ca`: a file, or `system`."""

    profile: str
    section: str  # of PS3.15
    retired: bool
    server_names: tuple[str, ...]
    verify_name: bool
    ca: str
    certificate: EffectiveCertificate | None  # the gateway's own


@dataclass(frozen=True, slots=True)
class EffectiveUpstream:
    """One upstream. `send_proxy_protocol`: v1, v2 or None. `tls`: None for plain DICOM."""

    name: str
    where: str
    servers: tuple[str, ...]
    balance: str
    weights: tuple[int, ...]
    backups: tuple[str, ...]
    source_address: str | None
    send_proxy_protocol: str | None
    health_check: HealthCheck | None
    tls: EffectiveUpstreamTls | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the value for `--format json`."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [", ".join(self._in_words(*each) for each in zip(self.servers, self.weights, strict=True))]
        if len(self.servers) > 1:
            parts.append(f"by {self.balance}")
        if self.source_address is not None:
            parts.append(f"from {self.source_address}")
        if self.send_proxy_protocol is not None:
            parts.append(f"with a PROXY header {self.send_proxy_protocol}")
        return ", ".join(parts)

    def _in_words(self, server: str, weight: int) -> str:
        remarks = [f"weight {weight}"] if weight != 1 else []
        if server in self.backups:
            remarks.append("backup")
        return f"{server} ({', '.join(remarks)})" if remarks else server

    def check_in_words(self) -> str:
        """Return the kind and the times of the health checks, in one line."""
        check = self.health_check
        if check is None:
            return "none: a server is down when requests cannot connect to it"
        how = f"C-ECHO from {check.calling_aet} to {check.called_aet}" if check.type == "echo" else "TCP connect"
        return (
            f"{how} every {check.interval:g} s, answered within {check.timeout:g} s; "
            f"down after {check.fall}, up after {check.rise}"
        )

    def tls_in_words(self) -> str:
        """Return the TLS profile, the verified names, the CA and the client certificate, in one line."""
        tls = self.tls
        if tls is None:
            return "none: plaintext"
        names = ", ".join(dict.fromkeys(tls.server_names))
        verified = f"certificate for {names}" if tls.verify_name else f"any certificate (asked for {names})"
        own = "none" if tls.certificate is None else tls.certificate.file
        retired = ", retired" if tls.retired else ""
        profile = f"{tls.profile} (PS3.15 {tls.section}{retired})"
        return f"{profile}, {verified} of CA {tls.ca}, client certificate {own}"


def describe_upstreams(config: Config) -> list[EffectiveUpstream]:
    """Return the settings of every upstream, in the order of the file."""
    return [describe_upstream(upstream) for upstream in config.upstreams.values()]


def describe_upstream(upstream: Upstream) -> EffectiveUpstream:
    """Return the settings of one upstream."""
    version, tls = upstream.send_proxy_protocol, upstream.tls
    return EffectiveUpstream(
        name=upstream.name,
        where=upstream.where,
        servers=tuple(server.label for server in upstream.servers),
        balance=upstream.balance,
        weights=tuple(server.weight for server in upstream.servers),
        backups=tuple(server.label for server in upstream.servers if server.backup),
        source_address=upstream.source_address,
        send_proxy_protocol=None if version is None else f"v{version}",
        health_check=upstream.health_check,
        tls=None if tls is None else _tls(tls, upstream),
        notes=() if tls is None else tuple(profile_notes(PROFILES[tls.profile])),
    )


def _tls(tls: UpstreamTls, upstream: Upstream) -> EffectiveUpstreamTls:
    profile = PROFILES[tls.profile]
    return EffectiveUpstreamTls(
        profile=profile.name,
        section=profile.section,
        retired=profile.retired,
        server_names=tuple(map(tls.name_of, upstream.servers)),
        verify_name=tls.verify_name,
        ca="system" if tls.ca is None else tls.ca.path,
        certificate=None if tls.certificate is None else describe_certificate(tls.certificate),
    )
