"""What a verification (C-ECHO) of a PACS asks, and what comes of it. Plain values; `echo_client` carries it out."""

import enum
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.config.values import Server
from proxy.policy import Abort, Reject
from proxy.upstream.dialling import Resolver
from proxy.upstream.tls_facts import TlsFacts


class Outcome(enum.StrEnum):
    """How a verification ended. A closed set."""

    OK = "ok"
    NAME_NOT_RESOLVED = "name_not_resolved"
    NOT_CONNECTED = "not_connected"
    SERVER_CERTIFICATE = "server_certificate"
    TLS_FAILED = "tls_failed"
    REJECTED = "rejected"
    ABORTED = "aborted"
    CLOSED = "closed"
    NOT_DICOM = "not_dicom"
    CONTEXT_REFUSED = "context_refused"
    ECHO_FAILED = "echo_failed"
    TIMEOUT = "timeout"


class StepName(enum.StrEnum):
    """What is done, in this order."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    ASSOCIATE = "associate"
    ECHO = "echo"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class VerificationRequest:
    """Whom to ask, and how. `timeout`: seconds, in all.

    `server_name` is sent as SNI (if it is no address) and checked where `tls` checks names. None: neither, and `tls`
    must not check any. `weakness` says what is too weak about the certificate that the server has shown, if anything.
    `preface` is sent before all else, TLS included: a PROXY header. `source_address`: the literal to connect from.
    `resolver`: one that remembers, for whoever asks often. `last`: the step to end with, CONNECT or RELEASE.
    """

    server: Server
    called: str
    calling: str
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    timeout: float = 10.0
    preface: bytes = b""
    weakness: Callable[[ssl.SSLObject], str | None] | None = None
    source_address: str | None = None
    resolver: Resolver | None = None
    last: StepName = StepName.RELEASE


@dataclass(slots=True)
class Verification:
    """What came of it. `steps`: those that ended well, with seconds; `failed_step`: the one that did not."""

    outcome: Outcome = Outcome.OK
    detail: str = ""
    steps: list[tuple[StepName, float]] = field(default_factory=list)
    failed_step: StepName | None = None
    address: str | None = None
    tls: TlsFacts | None = None
    answer: Reject | Abort | None = None
    status: int | None = None
    implementation: str | None = None

    @property
    def refused(self) -> bool:
        """The peer lives, and does not want this verification.

        It may not know the calling title, and other titles it may; Orthanc accepts the association then, where it takes
        C-STORE from everybody, and aborts it behind the C-ECHO.
        """
        aborted = self.outcome is Outcome.ABORTED and self.failed_step is StepName.ECHO
        return aborted or self.outcome in (Outcome.REJECTED, Outcome.CONTEXT_REFUSED)

    @property
    def connected(self) -> bool:
        """Somebody accepted the TCP connection."""
        return self.address is not None
