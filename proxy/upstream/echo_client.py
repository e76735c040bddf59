"""A verification of a PACS by C-ECHO, with the time of every step: for `dicomgate echo` and the health checks."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator

from proxy.dimse.command import MAX_COMMAND_SET, DimseError
from proxy.dimse.echo import (
    IMPLICIT_VR_LITTLE_ENDIAN,
    VERIFICATION_SOP_CLASS,
    decode_c_echo_rsp,
    encode_c_echo_rq,
)
from proxy.pdu import (
    AbortReason,
    AbortSource,
    InvalidPduParameter,
    PduError,
    PduFramer,
    PduType,
    encode_abort,
    encode_associate_rq,
    encode_p_data,
    encode_release_rq,
    parse_associate_ac,
)
from proxy.pdu.first_bytes import describe_first_bytes
from proxy.policy import Abort, Reject
from proxy.tls.handshake_words import explain_client_failure
from proxy.upstream.connecting import connect, undisturbed
from proxy.upstream.dialling import Destination, Resolver
from proxy.upstream.tls_facts import tls_facts
from proxy.upstream.verification import Outcome, StepName, Verification, VerificationRequest

MAX_ANSWER = 64 * 1024  # the answer to one context takes less than 1 KiB; a hundred times that is parsed in 10 ms
MAX_FRAGMENTS = 256  # of a command set, which takes less than 256 bytes
CLOSE_TIMEOUT = 1.0  # seconds for close_notify and FIN, once the verification has ended

_ABORT = encode_abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED)
_CONTEXT_ID = 1
_MESSAGE_ID = 1
_LAST_COMMAND = 3  # message control header: command, last fragment (PS3.8 annex E.2)
_READ_SIZE = 64 * 1024
_SHORTEST_VERDICT, _LONGEST_VERDICT = 0.02, 0.5  # seconds to wait for the peer's verdict on our certificate
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # this machine is at fault, not the PACS


class _FailureError(Exception):
    """Ends the verification with an outcome."""

    def __init__(self, outcome: Outcome, detail: str = "", answer: Reject | Abort | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.answer = answer


async def verify(request: VerificationRequest) -> Verification:
    """Resolve, connect, TLS, A-ASSOCIATE, C-ECHO, A-RELEASE. A failure on the way is an outcome.

    Raises OSError only if this machine has no room for a connection.
    """
    return await _Attempt(request).run()


class _Attempt:
    """One verification under way."""

    def __init__(self, request: VerificationRequest) -> None:
        self.request = request
        self.result = Verification()
        self.step = StepName.RESOLVE
        self.pending = b""  # bytes received after the last PDU
        self.writer: asyncio.StreamWriter | None = None

    async def run(self) -> Verification:
        try:
            async with asyncio.timeout(self.request.timeout):
                await self._walk()
        except _FailureError as failure:
            self._fail(failure.outcome, failure.detail, failure.answer)
        except TimeoutError:
            self._fail(Outcome.TIMEOUT, f"no answer within {self.request.timeout:g} s")
        except asyncio.CancelledError:
            self._say_goodbye(_ABORT)
            raise
        self._say_goodbye(b"" if self.result.outcome in _ENDED else _ABORT)
        # After the deadline: a PACS that has answered in time must not fail because it closes slowly.
        await self._close()
        return self.result

    def _fail(self, outcome: Outcome, detail: str, answer: Reject | Abort | None = None) -> None:
        self.result.outcome, self.result.detail, self.result.answer = outcome, detail, answer
        self.result.failed_step = self.step

    @contextlib.asynccontextmanager
    async def _timed(self, step: StepName) -> AsyncIterator[None]:
        self.step = step
        began = time.perf_counter()
        yield
        self.result.steps.append((step, time.perf_counter() - began))

    async def _walk(self) -> None:
        async with self._timed(StepName.RESOLVE):
            try:
                resolver, patience = self.request.resolver or Resolver(), self.request.timeout / 3
                destinations = await resolver.resolve(self.request.server, patience)
            except OSError as error:
                raise _FailureError(Outcome.NAME_NOT_RESOLVED, error.strerror or str(error)) from None
        async with self._timed(StepName.CONNECT):
            sock = await self._connect(destinations)
        if self.request.last is StepName.CONNECT:
            sock.close()
            return
        if self.request.tls is None:
            self.reader, self.writer = await asyncio.open_connection(sock=sock)
        else:
            async with self._timed(StepName.TLS):
                await self._handshake(sock, self.request.tls)
        if self.result.tls is not None and self.result.tls.version == "TLSv1.3":
            await self._await_verdict()
        await self._associate()
        await self._echo()
        await self._release()

    async def _connect(self, destinations: tuple[Destination, ...]) -> socket.socket:
        """Connect to the first address that accepts. Each has its share of the time, dead IPv6 routes too."""
        errors = []
        for destination in destinations:
            try:
                async with asyncio.timeout(self.request.timeout / len(destinations)):
                    sock = await connect(destination, self.request.source_address, self.request.preface)
            except OSError as error:  # TimeoutError is one
                if error.errno in _NO_ROOM:
                    raise
                errors.append(f"{destination}: {os.strerror(error.errno) if error.errno else 'no answer'}")
            else:
                self.result.address = str(destination)
                return sock
        raise _FailureError(Outcome.NOT_CONNECTED, "; ".join(errors) or "the name has no address")

    async def _handshake(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        try:
            self.reader, writer = await undisturbed(
                asyncio.open_connection(
                    sock=sock,
                    ssl=context,
                    server_hostname=self.request.server_name or "",
                    ssl_handshake_timeout=self.request.timeout + 1,  # `run` stops earlier
                    ssl_shutdown_timeout=CLOSE_TIMEOUT,
                )
            )
        except ssl.SSLCertVerificationError as error:
            raise _FailureError(Outcome.SERVER_CERTIFICATE, error.verify_message) from None
        except OSError as error:  # ssl.SSLError is one
            raise _FailureError(Outcome.TLS_FAILED, explain_client_failure(error)) from None
        ssl_object = writer.get_extra_info("ssl_object")
        self.result.tls = tls_facts(ssl_object)
        weakness = self.request.weakness and self.request.weakness(ssl_object)
        if weakness:
            writer.transport.abort()
            raise _FailureError(Outcome.SERVER_CERTIFICATE, f"too weak: {weakness}")
        self.writer = writer

    async def _await_verdict(self) -> None:
        """Wait two round trips for an alert of the peer, which a request sent at once would destroy.

        With TLS 1.3 the peer judges our certificate after our side of the handshake is complete. A request that arrives
        at a peer that has closed is answered by RST, and the alert with the cause is lost. A DICOM acceptor never sends
        first, so nothing else can arrive here.
        """
        round_trip = self.result.steps[-2][1]
        try:
            async with asyncio.timeout(min(_LONGEST_VERDICT, _SHORTEST_VERDICT + 2 * round_trip)):
                self.pending = await self.reader.read(_READ_SIZE)
        except TimeoutError:
            return
        except OSError as error:
            raise _FailureError(Outcome.TLS_FAILED, explain_client_failure(error)) from None
        if not self.pending:
            raise _FailureError(Outcome.TLS_FAILED, "the peer closed the connection right after the handshake")

    def _say_goodbye(self, last: bytes) -> None:
        if self.writer is not None:
            if last:
                self._send(last)
            self.writer.close()

    async def _close(self) -> None:
        """Wait for the peer to close, but not the 30 s that asyncio would wait for one that never does."""
        if self.writer is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.writer.wait_closed()
        except TimeoutError:
            self.writer.transport.abort()
        except OSError:
            pass  # the connection broke and is closed; to abort it again is an AttributeError in Python 3.11.2

    def _send(self, pdu: bytes) -> None:
        assert self.writer is not None
        if not self.writer.transport.is_closing():  # uvloop would raise; the next read reports the cause
            self.writer.write(pdu)

    async def _associate(self) -> None:
        async with self._timed(StepName.ASSOCIATE):
            request = self.request
            context = (_CONTEXT_ID, VERIFICATION_SOP_CLASS, (IMPLICIT_VR_LITTLE_ENDIAN,))
            self._send(encode_associate_rq(request.called, request.calling, [context]))
            pdu = await self._receive(PduType.A_ASSOCIATE_AC, PduType.A_ASSOCIATE_RJ)
            if pdu[0] == PduType.A_ASSOCIATE_RJ:
                raise _FailureError(Outcome.REJECTED, answer=Reject(*pdu[7:10]))
            try:
                accepted = parse_associate_ac(pdu)
            except PduError as error:
                raise _FailureError(Outcome.NOT_DICOM, f"A-ASSOCIATE-AC: {error}") from None
            information = accepted.user_information
            self.result.implementation = information.implementation_version_name or information.implementation_class_uid
            results = {context.context_id: context.result for context in accepted.presentation_contexts}
            if results.get(_CONTEXT_ID) != 0:
                raise _FailureError(
                    Outcome.CONTEXT_REFUSED, f"the Verification SOP class was not accepted (result {results.get(1)})"
                )

    async def _echo(self) -> None:
        async with self._timed(StepName.ECHO):
            self._send(encode_p_data(_CONTEXT_ID, _LAST_COMMAND, encode_c_echo_rq(_MESSAGE_ID)))
            try:
                status = decode_c_echo_rsp(await self._receive_command(), _MESSAGE_ID)
            except (DimseError, PduError) as error:
                raise _FailureError(Outcome.NOT_DICOM, f"C-ECHO response: {error}") from None
            self.result.status = status
            if status != 0:
                raise _FailureError(Outcome.ECHO_FAILED, f"status {status:04X}H")

    async def _receive_command(self) -> bytes:
        """Receive one command set, in any number of PDVs and PDUs (PS3.8 annex E.2)."""
        command, fragments = b"", 0
        while True:
            pdu = await self._receive(PduType.P_DATA_TF)
            offset = 6
            while offset < len(pdu):
                length = int.from_bytes(pdu[offset : offset + 4], "big")
                fragment = pdu[offset + 4 : offset + 4 + length]
                if length < 2 or len(fragment) < length:
                    raise InvalidPduParameter("PDV is longer than its P-DATA-TF")
                if fragment[0] != _CONTEXT_ID or not fragment[1] & 1:
                    raise DimseError("PDV of another context, or of a data set")
                command += fragment[2:]
                fragments += 1
                if len(command) > MAX_COMMAND_SET or fragments > MAX_FRAGMENTS:
                    raise DimseError("command set without end")
                if fragment[1] & 2:
                    return command
                offset += 4 + length

    async def _release(self) -> None:
        """Release. A peer that closes or aborts instead (GE CT520 does) has answered the C-ECHO all the same."""
        try:
            async with self._timed(StepName.RELEASE):
                self._send(encode_release_rq())
                await self._receive(PduType.A_RELEASE_RP)
        except _FailureError as failure:
            self.result.detail = f"the A-RELEASE-RQ was not answered ({failure.outcome})"

    async def _receive(self, *expected: PduType) -> bytes:
        """Receive the next PDU. An A-ABORT, an EOF and anything that is not DICOM ends the verification."""
        framer = PduFramer(MAX_ANSWER, frozenset((*expected, PduType.A_ABORT)))
        data = self.pending
        first = b""
        try:
            while (pdu := framer.feed(data)) is None:
                data = await self.reader.read(_READ_SIZE)
                first = first or data
                if not data:
                    raise _FailureError(Outcome.CLOSED, "the connection was closed instead of an answer")
        except PduError as error:
            raise _FailureError(Outcome.NOT_DICOM, f"{error} ({describe_first_bytes(first or self.pending)})") from None
        except ssl.SSLError as error:
            self.step = StepName.TLS
            raise _FailureError(Outcome.TLS_FAILED, explain_client_failure(error)) from None
        except OSError as error:
            raise _FailureError(Outcome.CLOSED, error.strerror or "the connection was reset") from None
        self.pending = framer.trailing
        if pdu[0] == PduType.A_ABORT:
            raise _FailureError(Outcome.ABORTED, answer=Abort(pdu[8], pdu[9]))
        return pdu


#: Outcomes after which there is no association to abort.
_ENDED = (Outcome.OK, Outcome.TLS_FAILED, Outcome.REJECTED, Outcome.ABORTED, Outcome.CLOSED)
