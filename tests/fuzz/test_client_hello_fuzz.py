import contextlib
import ssl

from hypothesis import given
from hypothesis import strategies as st

from proxy.tls.hello import ClientHelloMalformed, ClientHelloReader, NotTls, parse_client_hello
from tests.support.client_hellos import alpn, body, handshake, records, server_name, supported_versions

HELLO = body([server_name(b"pacs.example.org"), alpn(b"dicom"), supported_versions(0x0304, 0x0303)])


@given(st.binary(max_size=512))
def test_any_bytes_raise_nothing_but_the_two_findings(data: bytes) -> None:
    with contextlib.suppress(NotTls, ClientHelloMalformed):
        ClientHelloReader().feed(data)


@given(st.binary(max_size=512))
def test_any_body_raises_nothing_but_malformed(data: bytes) -> None:
    with contextlib.suppress(ClientHelloMalformed):
        parse_client_hello(data)


@given(st.data())
def test_a_hello_with_bytes_changed_raises_nothing_but_malformed(data: st.DataObject) -> None:
    changed = bytearray(HELLO)
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(st.integers(0, len(HELLO) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ClientHelloMalformed):
        parse_client_hello(bytes(changed))


@given(st.data())
def test_chunks_and_records_never_change_the_result(data: st.DataObject) -> None:
    wire = records(handshake(HELLO), size=data.draw(st.integers(1, len(HELLO) + 4)))
    reader = ClientHelloReader()
    position = 0
    hello = None
    while position < len(wire):
        assert hello is None
        step = data.draw(st.integers(1, len(wire) - position))
        hello = reader.feed(wire[position : position + step])
        position += step
    assert hello == parse_client_hello(HELLO)


@given(st.one_of(st.binary(min_size=1, max_size=64), st.from_regex(rb"[A-Za-z0-9_.-]{1,80}", fullmatch=True)))
def test_a_name_that_is_accepted_is_the_name_that_openssl_sees(name: bytes) -> None:
    wire = records(handshake(body([server_name(name)])))
    try:
        hello = ClientHelloReader().feed(wire)
    except ClientHelloMalformed:
        return
    assert hello is not None
    seen: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _object, name, _context: seen.append(name)
    incoming = ssl.MemoryBIO()
    server = context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)
    incoming.write(wire)
    with contextlib.suppress(ssl.SSLError):
        server.do_handshake()
    assert [one and one.lower().removesuffix(".") for one in seen] == [hello.server_name]
