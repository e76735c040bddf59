"""The checked configuration as plain frozen values, for the workers. The models have the defaults, not these values.

Durations are seconds (`math.inf` for `never`), sizes are bytes. Files are read once, when the configuration is loaded;
their content travels inside these values, so that a generation never mixes old and new files. This module imports
neither pydantic nor PyYAML, so that a worker starts fast.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.policy import ListenerPolicy, Network, Tenant
from proxy.policy.addresses import format_endpoint


@dataclass(frozen=True, slots=True)
class File:
    """A file that the configuration names, with its content. `where`: the `file:line` that names it."""

    path: str
    data: bytes = field(repr=False)
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One server or client certificate: the PEM chain (leaf first) and its unencrypted PEM key."""

    chain: File
    key: File


@dataclass(frozen=True, slots=True)
class ClientAuthSettings:
    """The effective `client_auth` of a listener, or of one tenant on it."""

    mode: str = "none"  # none | optional | required
    ca: Mapping[str, File] = field(default_factory=dict)  # name -> PEM bundle; a file without a name is "default"
    pinned: tuple[File, ...] = ()  # peers[].cert.file of the tenants concerned
    crl: tuple[File, ...] = ()
    crl_issuers: tuple[File, ...] = ()  # CAs besides `ca` that may have signed one of `crl`; not trusted otherwise
    crl_expired: str = "refuse"  # refuse | accept
    revoked: frozenset[str] = frozenset()  # SHA-256, lower-case hex without colons


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The effective `tls` of a listener (for clients without SNI), or of one tenant on one listener."""

    profile: str
    certificates: tuple[KeyPair, ...]
    client_auth: ClientAuthSettings = ClientAuthSettings()
    where: str = ""


@dataclass(frozen=True, slots=True)
class ProxyProtocol:
    """The PROXY header that each connection must begin with. `versions`: of 1 and 2; `trusted`: accepted sources."""

    versions: frozenset[int]
    trusted: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener. `tls` None: plaintext. `tenant_tls`: the effective TLS of each tenant that has server names."""

    name: str
    bind: tuple[tuple[str, int], ...]
    policy: ListenerPolicy
    tls: TlsSettings | None = None
    tenant_tls: Mapping[str, TlsSettings] = field(default_factory=dict)
    proxy_protocol: ProxyProtocol | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """One server of an upstream. `host`: a host name or an address."""

    host: str
    port: int
    weight: int = 1
    backup: bool = False

    @property
    def label(self) -> str:
        """The name of the server in metrics and records: `host:port`, as in the configuration."""
        return format_endpoint(self.host, self.port)


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """TLS to an upstream. `ca` None: the CAs of the system. `server_name` None: the host of each server.

    Without `verify_name` any certificate of the CA is accepted; the name is still sent as SNI.
    """

    profile: str
    server_name: str | None = None
    ca: File | None = None
    certificate: KeyPair | None = None  # the gateway's own, as a client
    verify_name: bool = True
    where: str = field(default="", compare=False)

    def name_of(self, server: Server) -> str:
        """Return the name that is sent to `server` as SNI and required in its certificate, without a trailing dot."""
        return self.server_name or server.host.removesuffix(".")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The active health check of an upstream. `type`: tcp or echo; `interval` and `timeout` in seconds.

    `rise` successes in a row make a server up, `fall` failures in a row make it down.
    """

    type: str
    interval: float
    timeout: float
    rise: int
    fall: int
    calling_aet: str
    called_aet: str  # "" unless `type` is echo


@dataclass(frozen=True, slots=True)
class Upstream:
    """A configured PACS. `tls` None: plain DICOM. `health_check` None: only failing associations mark servers as down.

    `send_proxy_protocol`: 1, 2 or None. `source_address`: the local address that connections come from.
    """

    name: str
    servers: tuple[Server, ...]
    balance: str  # least_associations | round_robin | first_up
    tls: UpstreamTls | None = None
    send_proxy_protocol: int | None = None
    source_address: str | None = None
    health_check: HealthCheck | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The limit of each wait, in seconds."""

    proxy_header: float
    client_hello: float
    tls_handshake: float
    artim: float
    identity: float
    upstream_connect: float
    upstream_accept: float
    idle: float
    close: float
    unacknowledged: float
    drain_delay: float
    drain: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper limits on what peers may use."""

    connections: int
    connections_per_address: int
    handshakes_per_address: int
    associate_rq: int
    presentation_contexts: int


@dataclass(frozen=True, slots=True)
class Log:
    """`log` and `access_log`. `format` None: console on a terminal, else json. `access_path` "-" is standard output."""

    level: str
    format: str | None
    access_path: str


#: The default of `control`. Verbs use it without reading a configuration. If this socket cannot be created, the gateway
#: runs without one; if a configured path fails, the start ends.
DEFAULT_CONTROL = "/run/dicomgate/control.sock"


@dataclass(frozen=True, slots=True)
class Reload:
    """Automatic reload: what is compared every `interval` seconds."""

    watch: str  # certificates | all | off
    interval: float


@dataclass(frozen=True, slots=True)
class Config:
    """One generation of the configuration."""

    path: str
    listeners: tuple[Listener, ...]
    tenants: Mapping[str, Tenant]
    upstreams: Mapping[str, Upstream]
    timeouts: Timeouts
    limits: Limits
    log: Log
    admin: tuple[str, int] | None
    workers: int | None  # None: auto
    control: str | None
    reload: Reload
