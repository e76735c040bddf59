"""The input of the decision (facts, listener, tenant, peer) and its results. Plain frozen values; no I/O, no clock.

The configuration layer builds listeners and tenants once per generation; the network layer builds one `Facts` per
association; `decide` and `select_tenant` read nothing else.
"""

import enum
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.dimse.services import SopClass
from proxy.pdu import AAssociateRQ
from proxy.policy.patterns import TitleMatcher, fold_title
from proxy.policy.reasons import Answer, Reason

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ClientAuthMode(enum.StrEnum):
    """The demand for a client certificate. OPTIONAL accepts a sender without one, but never an invalid one."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class CertificateConditions:
    """`peers[].cert`: each kind that is given must match the verified client certificate, by any one of its values.

    None: the kind is not given. Fingerprints are lower-case hex without colons; `spki_sha256` is base64.
    """

    file: frozenset[str] | None = None  # SHA-256 of each pinned certificate
    san_dns: tuple[str, ...] | None = None  # lower case; `*` stands for one label
    san_uri: tuple[str, ...] | None = None  # `*` does not cross a `/`
    subject_cn: tuple[str, ...] | None = None
    sha256: frozenset[str] | None = None
    spki_sha256: frozenset[str] | None = None
    ca: tuple[str, ...] | None = None  # names from client_auth.ca


@dataclass(frozen=True, slots=True)
class UserConditions:
    """`peers[].user`: a match in either list is enough."""

    names: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Peer:
    """One entry of a tenant's allowlist. `where` is `file:line`, for `explain`."""

    name: str
    aet: tuple[str, ...]  # titles and patterns as written, `*` for any
    allow: frozenset[str]  # operations, presets written out (`services.expand`)
    source: tuple[Network, ...] | None = None  # `from`; None: any
    cert: CertificateConditions | None = None
    user: UserConditions | None = None
    refuse: bool = False  # action: refuse
    sop_classes: frozenset[str] | None = None  # UIDs; None: any
    transfer_syntaxes: frozenset[str] | None = None  # UIDs; None: any
    move_destinations: tuple[str, ...] | None = ("self",)  # titles, patterns and `self`; None: any
    max_associations: int | None = None
    rewrite_calling_aet: str | None = None
    comment: str | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant's policy, independent of the listener on which it is reached."""

    name: str
    upstream: str
    peers: tuple[Peer, ...]
    server_names: tuple[str, ...] = ()  # lower case, `*.` stands for one label
    networks: tuple[Network, ...] | None = None
    called_aets: frozenset[str] | None = None  # None: any
    routes: Mapping[str, str] = field(default_factory=dict)  # called AE title -> upstream
    observe_until: float | None = None  # seconds since the epoch
    uniform_rejects: bool = False
    fold_case: bool = False  # aet_case: fold
    accept_nul_padding: bool = False
    max_associations: int | None = None
    idle: float | None = None  # seconds; None: timeouts.idle; math.inf: never
    rewrite_called_aet: str | None = None
    sop_class_table: Mapping[str, SopClass] = field(default_factory=dict, repr=False, compare=False)  # shared by all
    where: Mapping[str, str] = field(default_factory=dict)  # key -> file:line; "" for the tenant itself
    # Compiled from the above, once per generation.
    calling_matcher: TitleMatcher = field(init=False, repr=False, compare=False)
    called_upstreams: Mapping[str, str] = field(init=False, repr=False, compare=False)  # titles named here -> upstream

    def __post_init__(self) -> None:
        matcher = TitleMatcher.build((peer.aet for peer in self.peers), fold=self.fold_case)
        named = dict.fromkeys(self.called_aets or (), self.upstream) | dict(self.routes)
        if self.fold_case:
            named = {fold_title(title): upstream for title, upstream in named.items()}
        object.__setattr__(self, "calling_matcher", matcher)
        object.__setattr__(self, "called_upstreams", named)

    def observes(self, now: float) -> bool:
        """Return whether observe mode is on at `now` (seconds since the epoch)."""
        return self.observe_until is not None and now < self.observe_until

    def upstream_named(self, called_ae_title: str) -> str | None:
        """Return the upstream of a called AE title that the tenant names literally, else None."""
        return self.called_upstreams.get(fold_title(called_ae_title) if self.fold_case else called_ae_title)


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """The client certificates that are requested and trusted, by a listener or by one tenant on one listener.

    `anchors`: SHA-256 (hex) of every CA certificate trusted -> the names it has in the configuration.
    `pinned`: SHA-256 (hex) of the certificates under `peers[].cert.file`; trusted as themselves, never as issuers.
    """

    mode: ClientAuthMode = ClientAuthMode.NONE
    anchors: Mapping[str, frozenset[str]] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Entrance:
    """A tenant as it is reached through one listener: the tenant and its effective client authentication there."""

    tenant: Tenant
    client_auth: ClientAuth = ClientAuth()


@dataclass(frozen=True, slots=True)
class ListenerPolicy:
    """The part of a listener that policy reads."""

    name: str
    entrances: tuple[Entrance, ...]
    tls: bool = True
    networks: tuple[Network, ...] | None = None  # None: any
    client_auth: ClientAuth = ClientAuth()  # without SNI
    reject_without_sni: bool = False
    match_unknown_sni: bool = False
    default_tenant: str | None = None
    max_presentation_contexts: int = 128
    where: Mapping[str, str] = field(default_factory=dict)
    # Compiled from the above, once per generation.
    exact_names: Mapping[str, Entrance] = field(init=False, repr=False, compare=False)
    wildcard_names: Mapping[str, Entrance] = field(init=False, repr=False, compare=False)  # without the `*.`

    def __post_init__(self) -> None:
        exact: dict[str, Entrance] = {}
        wildcard: dict[str, Entrance] = {}
        for entrance in self.entrances:
            for name in entrance.tenant.server_names:
                if name.startswith("*."):
                    wildcard.setdefault(name[2:], entrance)
                else:
                    exact.setdefault(name, entrance)
        object.__setattr__(self, "exact_names", exact)
        object.__setattr__(self, "wildcard_names", wildcard)


@dataclass(frozen=True, slots=True)
class VerifiedCertificate:
    """A client certificate that OpenSSL verified. Names are in no order of trust; `not_after` in seconds (epoch)."""

    sha256: str  # lower-case hex
    spki_sha256: str  # base64
    subject: str = ""  # RFC 4514, for the record
    subject_cn: tuple[str, ...] = ()
    san_dns: tuple[str, ...] = ()  # lower case
    san_uri: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()  # SHA-256 (hex) of the certificates above the leaf in the verified chain
    serial: str = ""
    not_after: float = 0.0
    # Found by the TLS layer after the handshake (revoked, CRL stale, weak, wrong CA). Answered by A-ASSOCIATE-RJ when
    # the request is read.
    problem: Reason | None = None
    problem_detail: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """A verified user."""

    name: str
    groups: frozenset[str] = frozenset()
    method: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts that one association is decided on. `now`: seconds since the epoch."""

    source: Address  # IPv4-mapped addresses are already IPv4
    request: AAssociateRQ
    now: float
    sni: str | None = None  # lower case, without a trailing dot
    certificate: VerifiedCertificate | None = None
    user: User | None = None


class StepOutcome(enum.StrEnum):
    """The outcome of one rule."""

    PASS = "pass"  # noqa: S105 - not a secret
    FAIL = "fail"
    SKIP = "skip"
    WOULD_REFUSE = "would_refuse"


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was tried, in words. `where`: the line of the configuration that it comes from."""

    rule: str
    outcome: StepOutcome
    detail: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Accept:
    """The association may be forwarded. A field that is None changes nothing."""

    tenant: Tenant
    peer: Peer | None  # None only where observe_until let an unknown peer pass
    upstream: str
    operations: frozenset[str]
    contexts: Mapping[int, SopClass] = field(default_factory=dict)  # by id; also while observing only the allowed ones
    keep_contexts: frozenset[int] | None = None  # None: all
    transfer_syntaxes: frozenset[str] | None = None  # UIDs that stay in each kept context; None: all
    scp_roles: frozenset[str] | None = None  # SOP classes for which the requestor may offer the SCP role; None: all
    move_destinations: tuple[str, ...] | None = None  # of C-MOVE, for `move_allowed`; None: any
    observing: bool = False  # observe mode: what policy would refuse is counted, and passes
    called_ae_title: str | None = None  # rewritten, or put into canonical form
    calling_ae_title: str | None = None
    strip_user_identity: bool = False
    would_refuse: tuple[Reason, ...] = ()
    trace: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """The association is refused. `detail` names values that the peer sent: escape it before it is shown."""

    reason: Reason
    answer: Answer
    detail: str
    tenant: Tenant | None = None
    peer: Peer | None = None
    trace: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class NeedsIdentity:
    """The user must be verified first; then `decide` is called again with `Facts.user`."""

    tenant: Tenant
    providers: tuple[str, ...]
    trace: tuple[Step, ...] = ()


Decision = Accept | Refuse | NeedsIdentity
