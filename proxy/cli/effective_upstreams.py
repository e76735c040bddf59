"""What each upstream comes to, for `dicomgate check` and `dicomgate explain`: defaults worked out."""

from dataclasses import asdict, dataclass
from typing import Any

from proxy.cli.effective import EffectiveCertificate, describe_certificate, profile_notes
from proxy.config.values import Config, Upstream, UpstreamTls
from proxy.observe.families import server_label
from proxy.tls.profiles import PROFILES


@dataclass(frozen=True, slots=True)
class EffectiveUpstreamTls:
    """TLS towards an upstream. `server_names`: one for each server. `ca`: a file, or `system`."""

    profile: str
    section: str  # of PS3.15
    retired: bool
    server_names: tuple[str, ...]
    verify_name: bool
    ca: str
    certificate: EffectiveCertificate | None  # the gateway's own


@dataclass(frozen=True, slots=True)
class EffectiveUpstream:
    """One upstream. `tls` None: plain DICOM."""

    name: str
    where: str
    servers: tuple[str, ...]
    tls: EffectiveUpstreamTls | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For `--format json`."""
        return asdict(self)

    def tls_in_words(self) -> str:
        """What is verified and shown, in one line."""
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
    """Every upstream, in the order of the file."""
    return [describe_upstream(upstream) for upstream in config.upstreams.values()]


def describe_upstream(upstream: Upstream) -> EffectiveUpstream:
    """One upstream."""
    tls = upstream.tls
    return EffectiveUpstream(
        name=upstream.name,
        where=upstream.where,
        servers=tuple(map(server_label, upstream.servers)),
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
