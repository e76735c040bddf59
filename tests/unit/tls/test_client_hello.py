import ssl

import pytest

from proxy.tls.hello import (
    MAX_RECORDS,
    ClientHello,
    ClientHelloMalformed,
    ClientHelloReader,
    NotTls,
    describe_version,
    encode_alert,
    normalize_server_name,
    parse_client_hello,
)
from tests.support.client_hellos import (
    alpn,
    body,
    handshake,
    records,
    server_name,
    supported_versions,
    uint16s,
    vector8,
    vector16,
    wire,
)

FULL = (
    server_name(b"PACS.Example.ORG."),
    (10, vector16(uint16s([0x0A0A, 0x001D, 0x0017]))),
    (13, vector16(uint16s([0x0403, 0x0804]))),
    alpn(b"dicom", b"h2"),
    supported_versions(0x2A2A, 0x0304, 0x0303),
    (0x3A3A, b""),
)
EXPECTED = ClientHello(
    "pacs.example.org", (0x0304, 0x0303), (0xC02F, 0xC030), (b"dicom", b"h2"), (0x0403, 0x0804), (0x001D, 0x0017)
)


def read(data: bytes, step: int | None = None) -> ClientHello | None:
    reader = ClientHelloReader()
    step = step or len(data) or 1
    for start in range(0, len(data), step):
        hello = reader.feed(memoryview(data)[start : start + step])
        if hello is not None:
            return hello
    return None


@pytest.mark.parametrize("step", [1, 2, 7, 100_000])
@pytest.mark.parametrize("record_size", [1, 3, 5, 100, 16_384])
def test_every_chunking_and_fragmentation_reads_the_same(step: int, record_size: int) -> None:
    assert read(records(handshake(body(FULL)), record_size), step) == EXPECTED


def test_nothing_is_known_before_the_last_byte() -> None:
    data = wire(FULL)
    reader = ClientHelloReader()
    assert reader.feed(data[:-1]) is None
    assert reader.feed(data[-1:]) == EXPECTED
    assert reader.raw == data


def test_bytes_after_the_client_hello_stay_in_raw() -> None:
    reader = ClientHelloReader()
    assert reader.feed(wire(FULL) + b"early data") == EXPECTED
    assert reader.raw == wire(FULL) + b"early data"


def test_an_old_hello_has_neither_extensions_nor_name() -> None:
    hello = read(wire(legacy_version=0x0301))
    assert hello == ClientHello(None, (0x0301,), (0xC02F, 0xC030))


def test_the_hello_of_a_real_library_is_read() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["dicom"])
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # Debian's Python has the default of OpenSSL, others their own
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="ct1.example.org")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = read(outgoing.read())
    assert hello is not None
    assert hello.server_name == "ct1.example.org"
    assert hello.versions == (0x0304, 0x0303)
    assert hello.alpn == (b"dicom",)
    assert 0xC02F in hello.cipher_suites
    assert 0x0017 in hello.groups
    assert 0x0403 in hello.signature_algorithms


@pytest.mark.parametrize(
    ("first", "what"),
    [
        (b"\x01\x00\x00\x00\x00\xce\x00\x01", "plain DICOM"),
        (b"\x01", "plain DICOM"),
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"G", "HTTP"),
        (b"OPTIONS * HTTP/1.1", "HTTP"),
        (b"PRI * HTTP/2.0\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"EHLO mail.example.org\r\n", "SMTP"),
        (b"\x03\x00\x00\x13\x0e\xe0", "RDP"),
        (b"\x80\x2e\x01\x00\x02\x00\x15", "SSLv2"),
        (b"\x80\x67\x01\x03\x01\x00\x4e", "SSLv2"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", "PROXY protocol"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11", "PROXY protocol"),
        (b"\x16\x04\x00\x00\x10", "unknown bytes"),
        (b"\x00" * 64, "unknown bytes"),
        (b"\xff\xfe\xfd\xfc", "unknown bytes"),
    ],
)
def test_another_protocol_is_named(first: bytes, what: str) -> None:
    with pytest.raises(NotTls) as caught:
        ClientHelloReader().feed(first)
    assert caught.value.what == what


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x28", "first record is alert"),
        (b"\x17\x03\x03\x00\x01\x00", "first record is application_data"),
        (b"\x16\x03\x01\x00\x00", "record of 0 bytes"),
        (b"\x16\x03\x01\x40\x01", "record of 16385 bytes"),
        (records(handshake(body(), message_type=2)), "handshake message 2"),
        (records(b"\x01\x00\x00") + b"\x14\x03\x01\x00\x01\x01", "record of type 20 inside"),
        (records(b"\x01\x00\x00") + b"\x16\x02\x00\x00\x01\x01", "record version 2.0"),
        (records(b"\x01\x00\x40\x01"), "ClientHello of 16385 bytes"),
        (records(b"\x01\xff\xff\xff"), "ClientHello of 16777215 bytes"),
    ],
)
def test_broken_records_are_malformed(data: bytes, detail: str) -> None:
    with pytest.raises(ClientHelloMalformed) as caught:
        read(data)
    assert detail in caught.value.detail
    assert caught.value.description == 50


def test_the_largest_hello_passes() -> None:
    empty = len(body([(21, b"")]))
    data = records(handshake(body([(21, bytes(16_384 - empty))])))
    assert read(data) is not None
    with pytest.raises(ClientHelloMalformed, match="16385 bytes"):
        read(records(handshake(body([(21, bytes(16_385 - empty))]))))


def test_the_number_of_records_is_bounded() -> None:
    with pytest.raises(ClientHelloMalformed, match="records"):
        read(records(b"\x01\x00\x40\x00" + bytes(MAX_RECORDS), size=1))


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".",
        b"..",
        b"a..b",
        b".example.org",
        b"example.org..",
        b"10.0.0.1",
        b"10.0.0.1.",
        b"::1",
        b"pacs.example.org\0",
        b"pacs\0.example.org",
        b"xn--\xff",
        "spital-zürich.ch".encode(),
        b"*.example.org",
        b"a b.example.org",
        b"a" * 64 + b".org",
        b".".join([b"a" * 49] * 5) + b".abcd",  # 254
        b"a" * 255,
        b"a" * 256,
    ],
)
def test_a_server_name_that_is_no_dns_name_is_malformed(name: bytes) -> None:
    with pytest.raises(ClientHelloMalformed):
        read(wire([server_name(name)]))


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        (b"PACS", "pacs"),
        (b"pacs_1.Rad-A.example.org.", "pacs_1.rad-a.example.org"),
        (b"xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        (b"1.2.3.4.example", "1.2.3.4.example"),
        (b".".join([b"a" * 49] * 5) + b".abc", ".".join(["a" * 49] * 5) + ".abc"),  # 253
    ],
)
def test_server_names_are_normalized(name: bytes, normal: str) -> None:
    assert normalize_server_name(name) == normal


@pytest.mark.parametrize(
    ("extensions", "detail"),
    [
        ([server_name(b"a.org", b"b.org")], "two server names"),
        ([server_name(b"a.org"), server_name(b"a.org")], "extension 0 twice"),
        ([server_name(b"a.org", name_type=1)], "server name of type 1"),
        ([(0, b"")], "cut off"),
        ([(0, vector16(b""))], "cut off"),
        ([(0, vector16(b"\0" + vector16(b"a.org")) + b"x")], "bytes after the server name list"),
        ([(43, b"\x03\x03\x03")], "cut off"),
        ([(43, vector8(b"\x03\x03\x04"))], "supported versions: 3 bytes"),
        ([(43, vector8(b""))], "supported versions: 0 bytes"),
        ([(43, vector8(b"\x03\x04") + b"x")], "bytes after the supported versions"),
        ([(16, vector16(vector8(b"")))], "empty ALPN name"),
        ([(16, vector16(b"\x05dico"))], "cut off"),
        ([(10, vector16(b"\x00"))], "1 bytes"),
    ],
)
def test_malformed_extensions(extensions: list[tuple[int, bytes]], detail: str) -> None:
    with pytest.raises(ClientHelloMalformed) as caught:
        read(wire(extensions))
    assert detail in caught.value.detail


@pytest.mark.parametrize("length", range(len(body(FULL))))
def test_a_body_cut_anywhere_is_malformed_or_has_no_extensions(length: int) -> None:
    whole = len(body())
    if length == whole:
        assert parse_client_hello(body(FULL)[:length]).server_name is None
        return
    with pytest.raises(ClientHelloMalformed):
        parse_client_hello(body(FULL)[:length])


@pytest.mark.parametrize(
    "broken",
    [
        body(FULL) + b"x",
        body(cipher_suites=()),
        body(compression=b""),
        body(session_id=bytes(33)),
    ],
)
def test_malformed_bodies(broken: bytes) -> None:
    with pytest.raises(ClientHelloMalformed):
        parse_client_hello(broken)


def test_versions_in_words() -> None:
    assert [describe_version(v) for v in (0x0300, 0x0301, 0x0304, 0x7F04)] == [
        "SSL 3.0",
        "TLS 1.0",
        "TLS 1.3",
        "version 0x7F04",
    ]


def test_an_alert_of_ours_is_understood_by_a_client() -> None:
    incoming = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = context.wrap_bio(incoming, ssl.MemoryBIO(), server_hostname="pacs.example.org")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write(encode_alert(112))
    with pytest.raises(ssl.SSLError) as caught:
        client.do_handshake()
    assert caught.value.reason == "TLSV1_UNRECOGNIZED_NAME"
