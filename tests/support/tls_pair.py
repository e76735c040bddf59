"""TLS handshakes in memory: a `ServerContext` under test and a client of Python's `ssl`, no sockets."""

import ssl
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy.config.values import ClientAuthSettings, File, KeyPair, TlsSettings
from proxy.tls.contexts import ServerContext
from proxy.tls.hello import ClientHello, ClientHelloReader
from proxy.tls.memory_file import load_key_pair
from tests.support import certs

SERVER_NAME = "pacs.example.org"


def file(data: bytes, path: str = "file.pem") -> File:
    """A file of the configuration."""
    return File(path, data, "config.yaml:1")


def key_pair(issued: certs.Issued) -> KeyPair:
    """A certificate with its intermediates, and its key."""
    return KeyPair(file(issued.chain_pem, "chain.pem"), file(issued.key_pem, "key.pem"))


def server_settings(
    *,
    profile: str = "bcp195-rfc8996",
    mode: str = "none",
    ca: Mapping[str, Sequence[certs.Issued]] | None = None,
    pinned: Sequence[certs.Issued] = (),
    crl: Sequence[bytes] = (),
    crl_expired: str = "refuse",
    revoked: Sequence[certs.Issued] = (),
    certificates: Sequence[certs.Issued] | None = None,
) -> TlsSettings:
    """One `tls` block; by default it serves an ECDSA and an RSA certificate for `SERVER_NAME`."""
    if certificates is None:
        root = server_root()
        certificates = [certs.server(SERVER_NAME, root, kind=kind) for kind in ("p256", "rsa2048")]
    authorities = {name: file(b"".join(one.pem for one in cas), f"{name}.pem") for name, cas in (ca or {}).items()}
    client_auth = ClientAuthSettings(
        mode=mode,
        ca=authorities,
        pinned=tuple(file(one.pem, "pinned.pem") for one in pinned),
        crl=tuple(file(one, "crl.pem") for one in crl),
        crl_expired=crl_expired,
        revoked=frozenset(one.sha256 for one in revoked),
    )
    return TlsSettings(profile, tuple(key_pair(one) for one in certificates), client_auth, "config.yaml:9")


def server_root() -> certs.Issued:
    """The CA of the server certificates."""
    return certs.ca("Server root")


def client(
    certificate: certs.Issued | None = None,
    *,
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ciphers: str = "DEFAULT:@SECLEVEL=0",
    chain: bytes | None = None,
) -> ssl.SSLContext:
    """A client without scruples: security level 0, the server unverified. `chain` is sent instead of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = minimum, maximum
    if certificate is not None:
        load_key_pair(context, KeyPair(file(chain or certificate.chain_pem), file(certificate.key_pem)))
    return context


@dataclass
class Handshake:
    """The outcome of a handshake on each side."""

    hello: ClientHello | None
    server: ssl.SSLObject
    client: ssl.SSLObject
    server_error: ssl.SSLError | None = None
    client_error: ssl.SSLError | None = None


def shake_hands(
    context: ServerContext,
    client_context: ssl.SSLContext,
    *,
    server_name: str | None = SERVER_NAME,
    session: ssl.SSLSession | None = None,
    expect: Callable[[str | None], str | None] = lambda name: name,
    alter_hello: Callable[[bytes], bytes] = lambda data: data,
    disturb: Callable[[bytes], bytes] = lambda data: data,
) -> Handshake:
    """Do a handshake as the gateway does: ClientHello first, TLS object after it. Errors are recorded, not raised.

    `expect` changes the name that the context expects, `alter_hello` the first flight of the client, `disturb`
    all later ones.
    """
    to_server, from_client, to_client = ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO()
    requestor = client_context.wrap_bio(to_client, from_client, server_hostname=server_name, session=session)
    step(requestor)
    reader = ClientHelloReader()
    hello = reader.feed(alter_hello(from_client.read()))
    acceptor = context.ssl.wrap_bio(to_server, to_client, server_side=True)
    context.expect_server_name(acceptor, expect(hello.server_name if hello else None))
    result = Handshake(hello, acceptor, requestor)
    to_server.write(reader.raw)
    for _ in range(4):
        result.server_error = result.server_error or step(acceptor)
        result.client_error = result.client_error or step(requestor)
        sent = from_client.read()
        to_server.write(disturb(sent) if sent else b"")
    # TLS 1.3: the client is done before the server has judged its certificate; the alert reaches it on the first read.
    result.client_error = result.client_error or step(requestor, lambda: requestor.read(1))
    return result


def step(side: ssl.SSLObject, action: Callable[[], object] | None = None) -> ssl.SSLError | None:
    """Take one step of a handshake, or run `action`; return its error, if any."""
    try:
        (action or side.do_handshake)()
    except ssl.SSLWantReadError:
        return None
    except ssl.SSLError as error:
        return error
    return None


def close(result: Handshake) -> None:
    """Exchange close_notify; only then does OpenSSL keep the session."""
    for side in (result.client, result.server, result.client):
        step(side, side.unwrap)
