"""The request for a verification (C-ECHO) of a PACS, and its result. Plain values; `echo_client` does the work."""

import enum
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.config.values import Server
from proxy.policy import Abort, Reject
from proxy.upstream.dialling import Resolver
from proxy.upstream.tls_facts import TlsFacts


class Outcome(enum.StrEnum):
    """The end of a verification. A closed set."""

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
    """The steps of a verification, in their order."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    ASSOCIATE = "associate"
    ECHO = "echo"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class VerificationRequest:
    """The server to verify, and how. `timeout`: seconds for all steps together.

    `server_name`: sent as SNI (unless it is an address) and checked if `tls` checks names. None: neither, and `tls`
    must not check names. `weakness`: returns what is too weak about the server's certificate, or None.
    `preface`: sent before everything else, TLS included: a PROXY header. `source_address`: literal to connect from.
    `resolver`: one that keeps answers between verifications. `last`: the step to end with, CONNECT or RELEASE.
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
    """The result. `steps`: the steps that succeeded, with their seconds. `failed_step`: the one that did not."""

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
        """True if the peer is up but refuses this verification, perhaps because it does not know the calling title.

        Orthanc, configured to take C-STORE from any title, accepts the association of an unknown title and aborts it
        after the C-ECHO-RQ.
        """
        aborted = self.outcome is Outcome.ABORTED and self.failed_step is StepName.ECHO
        return aborted or self.outcome in (Outcome.REJECTED, Outcome.CONTEXT_REFUSED)

    @property
    def connected(self) -> bool:
        """True if the TCP connection was accepted."""
        return self.address is not None
