"""The checked configuration as plain frozen values: what a worker is handed. Nothing here reads or imports pydantic.

Durations are seconds (`math.inf` for `never`), sizes bytes. File contents are read once, when the configuration is
loaded, and travel inside these values, so that a generation never mixes old and new files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.policy import Listener as ListenerPolicy
from proxy.policy import Network, Tenant
from proxy.policy.addresses import format_endpoint


@dataclass(frozen=True, slots=True)
class File:
    """A file of the configuration and what was in it. `where` is the `file:line` that names it."""

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
    """What `client_auth` says, effective for a listener or for one tenant on it."""

    mode: str = "none"  # none | optional | required
    ca: Mapping[str, File] = field(default_factory=dict)  # name -> PEM bundle; a file without a name is "default"
    pinned: tuple[File, ...] = ()  # peers[].cert.file of the tenants concerned
    crl: tuple[File, ...] = ()
    crl_issuers: tuple[File, ...] = ()  # CAs that may sign one of `crl`, beside those of `ca`; not trusted themselves
    crl_expired: str = "refuse"  # refuse | accept
    revoked: frozenset[str] = frozenset()  # SHA-256, lower-case hex without colons


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """One effective `tls` block: of a listener without SNI, or of one tenant on one listener."""

    profile: str
    certificates: tuple[KeyPair, ...]
    client_auth: ClientAuthSettings = ClientAuthSettings()
    where: str = ""


@dataclass(frozen=True, slots=True)
class ProxyProtocol:
    """The PROXY header that is demanded of everybody; it may come from `trusted` alone. `versions`: of 1 and 2."""

    versions: frozenset[int]
    trusted: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener. `tls` None: plaintext. `tenant_tls`: tenant with server names -> its effective TLS here."""

    name: str
    bind: tuple[tuple[str, int], ...]
    policy: ListenerPolicy
    tls: TlsSettings | None = None
    tenant_tls: Mapping[str, TlsSettings] = field(default_factory=dict)
    proxy_protocol: ProxyProtocol | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """One server of an upstream: host name or address literal, and port."""

    host: str
    port: int
    weight: int = 1
    backup: bool = False

    @property
    def label(self) -> str:
        """The server's name in metrics and records: `host:port`, as in the configuration."""
        return format_endpoint(self.host, self.port)


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """TLS towards an upstream. `ca` None: the system's. `server_name` None: the host of each server.

    Without `verify_name` any certificate of the CA will do; the name is sent as SNI all the same.
    """

    profile: str
    server_name: str | None = None
    ca: File | None = None
    certificate: KeyPair | None = None  # the gateway's own, as a client
    verify_name: bool = True
    where: str = field(default="", compare=False)

    def name_of(self, server: Server) -> str:
        """The name that `server` is asked for and must have: a host name without a trailing dot, or an address."""
        return self.server_name or server.host.removesuffix(".")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How the servers of an upstream are checked: `type` tcp or echo. `interval` and `timeout` in seconds.

    So many successes (`rise`) or failures (`fall`) in a row change the verdict.
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
    """A configured PACS. `tls` None: plain DICOM. `health_check` None: only what requests meet tells its state.

    `send_proxy_protocol`: version 1 or 2. `source_address`: the literal that is dialled from.
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
    """Every wait in the proxy is one of these (seconds)."""

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
    """Caps that no peer can raise."""

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


#: The default of `control`: verbs look here without reading a configuration, and the gateway runs without a control
#: socket where this one cannot be created (another path that fails ends the start).
DEFAULT_CONTROL = "/run/dicomgate/control.sock"


@dataclass(frozen=True, slots=True)
class Reload:
    """What is watched for changes, by content, every `interval` seconds."""

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
