"""The C-ECHO client against acceptors that answer well, badly, slowly, in pieces or not at all."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.config.values import Server
from proxy.dimse.command import C_ECHO
from proxy.dimse.command import RESPONSE as ANSWER
from proxy.dimse.echo import VERIFICATION_SOP_CLASS
from proxy.pdu import encode_abort, encode_associate_rj, encode_p_data, parse_associate_rq
from proxy.policy import Abort, Reject
from proxy.upstream.echo_client import verify
from proxy.upstream.verification import Outcome, StepName, Verification, VerificationRequest
from tests.support.messages import command
from tests.support.pdus import encode_associate_ac, encode_release_rp

LITTLE_ENDIAN = "1.2.840.10008.1.2"
ACCEPT = encode_associate_ac("PACS", "GATE", [(1, 0, LITTLE_ENDIAN)], implementation_version_name="FAKE")

RESPONSE = command(C_ECHO | ANSWER, sop_class=VERIFICATION_SOP_CLASS)
ECHO = encode_p_data(1, 3, RESPONSE)
RELEASE = encode_release_rp()

Acceptor = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def ask(acceptor: Acceptor, timeout: float = 5, preface: bytes = b"") -> Verification:
    """One verification of an acceptor on a socket of its own."""

    async def both() -> Verification:
        handled = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await acceptor(reader, writer)
                await writer.drain()
            except ConnectionError:
                pass
            finally:
                writer.close()
                handled.set()

        listener = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            request = VerificationRequest(Server("127.0.0.1", port), "PACS", "GATE", timeout=timeout, preface=preface)
            result = await verify(request)
            await handled.wait()
        return result

    return asyncio.run(both())


def answering(*answers: bytes, chunk: int = 1 << 20) -> Acceptor:
    """Answers each PDU with the next of `answers`, in chunks; closes after the last."""

    async def acceptor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            header = await reader.readexactly(6)
            await reader.readexactly(int.from_bytes(header[2:], "big"))
            for start in range(0, len(answer), chunk):
                writer.write(answer[start : start + chunk])
                await writer.drain()
        await reader.read()

    return acceptor


def pieces(command: bytes, size: int) -> bytes:
    """One P-DATA-TF per `size` bytes of the command set."""
    parts = [command[start : start + size] for start in range(0, len(command), size)]
    return b"".join(encode_p_data(1, 1 if part is not parts[-1] else 3, part) for part in parts)


def test_a_preface_comes_before_all_else() -> None:
    preface = b"PROXY UNKNOWN\r\n"
    heard: list[bytes] = []

    async def behind_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(len(preface)))
        await answering(ACCEPT, ECHO, RELEASE)(reader, writer)

    assert ask(behind_it, preface=preface).outcome is Outcome.OK
    assert heard == [preface]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("echo", [ECHO, pieces(RESPONSE, 13)])
def test_yes_in_any_pieces(chunk: int, echo: bytes) -> None:
    result = ask(answering(ACCEPT, echo, RELEASE, chunk=chunk))
    assert (result.outcome, result.status, result.implementation, result.failed_step) == (Outcome.OK, 0, "FAKE", None)
    assert [step for step, _ in result.steps] == [step for step in StepName if step is not StepName.TLS]


def test_what_is_asked_is_a_verification_of_the_called_title() -> None:
    received = []

    async def acceptor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(4096))
        writer.write(encode_associate_rj(1, 1, 7))

    result = ask(acceptor)
    assert (result.outcome, result.answer, result.failed_step) == (
        Outcome.REJECTED,
        Reject(1, 1, 7),
        StepName.ASSOCIATE,
    )
    request = parse_associate_rq(received[0])
    assert (request.called.title, request.calling.title) == ("PACS", "GATE")
    assert [c.abstract_syntax for c in request.presentation_contexts] == ["1.2.840.10008.1.1"]


@pytest.mark.parametrize(
    ("answers", "outcome", "step"),
    [
        ([encode_abort(2, 1)], Outcome.ABORTED, StepName.ASSOCIATE),
        ([b""], Outcome.CLOSED, StepName.ASSOCIATE),
        ([ACCEPT[:-1]], Outcome.CLOSED, StepName.ASSOCIATE),
        ([b"HTTP/1.1 400\r\n"], Outcome.NOT_DICOM, StepName.ASSOCIATE),
        ([b"\x15\x03\x01\x00\x02\x02\x28"], Outcome.NOT_DICOM, StepName.ASSOCIATE),
        ([b"\x02\x00\xff\xff\xff\xff"], Outcome.NOT_DICOM, StepName.ASSOCIATE),
        ([b"\x02\x00\x00\x10\x00\x00" + bytes(1 << 20)], Outcome.NOT_DICOM, StepName.ASSOCIATE),
        ([encode_associate_ac("", "", [(1, 0, LITTLE_ENDIAN)] * 2)], Outcome.NOT_DICOM, StepName.ASSOCIATE),
        ([encode_associate_ac("", "", [(1, 3, None)])], Outcome.CONTEXT_REFUSED, StepName.ASSOCIATE),
        ([encode_associate_ac("", "", [])], Outcome.CONTEXT_REFUSED, StepName.ASSOCIATE),
        ([ACCEPT, encode_abort(0, 0)], Outcome.ABORTED, StepName.ECHO),
        ([ACCEPT, encode_p_data(1, 3, RESPONSE[:-2] + b"\x22\x01")], Outcome.ECHO_FAILED, StepName.ECHO),
        ([ACCEPT, encode_p_data(3, 3, RESPONSE)], Outcome.NOT_DICOM, StepName.ECHO),
        ([ACCEPT, encode_p_data(1, 2, RESPONSE)], Outcome.NOT_DICOM, StepName.ECHO),
        ([ACCEPT, b"\x04\x00\x00\x00\x00\x05\x00\x00\x00\x09\x01"], Outcome.NOT_DICOM, StepName.ECHO),
        ([ACCEPT, encode_p_data(1, 1, bytes(40_000)) * 2], Outcome.NOT_DICOM, StepName.ECHO),
        ([ACCEPT, encode_p_data(1, 1, b"") * 5000], Outcome.NOT_DICOM, StepName.ECHO),
        ([ACCEPT, RELEASE], Outcome.NOT_DICOM, StepName.ECHO),
    ],
)
def test_no_is_told_by_step_and_outcome(answers: list[bytes], outcome: Outcome, step: StepName) -> None:
    async def acceptor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(4096)
            writer.write(answer)
        writer.write_eof()
        await reader.read()

    result = ask(acceptor)
    assert (result.outcome, result.failed_step) == (outcome, step)
    assert result.connected
    assert isinstance(result.answer, Abort) is (outcome is Outcome.ABORTED)


@pytest.mark.parametrize("last", [b"", encode_abort(0, 0), b"\xff"])
def test_who_leaves_at_the_release_has_answered(last: bytes) -> None:
    async def acceptor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (ACCEPT, ECHO, last):
            await reader.read(4096)
            writer.write(answer)

    result = ask(acceptor)
    assert (result.outcome, result.status, result.failed_step) == (Outcome.OK, 0, None)
    assert "A-RELEASE-RQ was not answered" in result.detail


def test_silence_ends_at_the_timeout_with_an_abort() -> None:
    received = []

    async def acceptor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())

    result = ask(acceptor, timeout=0.05)
    assert (result.outcome, result.failed_step) == (Outcome.TIMEOUT, StepName.ASSOCIATE)
    assert received[0].endswith(encode_abort(0, 0))


def test_a_trickle_does_not_extend_the_timeout() -> None:
    async def acceptor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in ACCEPT:
            writer.write(bytes([byte]))
            await writer.drain()
            try:
                async with asyncio.timeout(0.01):
                    await reader.readuntil(b"never")
            except (TimeoutError, asyncio.IncompleteReadError):
                continue

    assert ask(acceptor, timeout=0.1).outcome is Outcome.TIMEOUT
