"""A sans-IO TLS endpoint: ciphertext in, plaintext out, ciphertext to send out. It owns no socket.

It is an `ssl.SSLObject` over two `MemoryBIO`s. Both are fed and drained in slices, because a MemoryBIO never shrinks:
the memory of the largest burst would stay allocated for the life of the association.
"""

import ssl

#: A TLS 1.3 record holds 16 KiB of plaintext (RFC 8446 section 5.1).
RECORD = 16 * 1024
#: A full record on the wire: header, content type and tag (RFC 8446 section 5.2; all AEADs in use have the same tag).
SEALED_RECORD = RECORD + 5 + 1 + 16
# The most that is ever put into a BIO at once: OpenSSL grows a buffer by a third more than asked for. A multiple of
# full records, as bulk traffic is: an incomplete record costs an exception to read, and one more record to write.
SLICE = 3 * RECORD
_SEALED_SLICE = 3 * SEALED_RECORD
#: Bytes of ciphertext after the handshake that may pass without one byte of plaintext (KeyUpdates, empty records).
MAX_BARREN = 64 * 1024


class BarrenTraffic(Exception):
    """The peer keeps TLS busy without sending application data."""


class TlsEndpoint:
    """One side of one TLS connection."""

    __slots__ = ("_barren", "_incoming", "_outgoing", "closed", "failure", "object")

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._barren = 0
        self.closed = False  # the peer's close_notify was read
        self.failure: ssl.SSLError | BarrenTraffic | None = None  # nothing more can be read
        self.object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )

    def handshake(self, ciphertext: bytes | bytearray | memoryview) -> bool:
        """Continue the handshake; return True once it is complete. Raises `ssl.SSLError`; `output` has the alert."""
        self._incoming.write(ciphertext)
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self, ciphertext: memoryview, into: memoryview) -> int:
        """Decrypt all of `ciphertext` into `into`, which must be a record longer; return the number of bytes written.

        Sets `closed` at the peer's close_notify and `failure` where TLS breaks. Bytes before either are returned, bytes
        after it are ignored, so chunking never changes what is forwarded.
        """
        read, pending, incoming = self.object.read, self.object.pending, self._incoming
        filled = 0
        start = 0
        size = len(ciphertext)
        while not self.closed and self.failure is None:
            if start < size:
                incoming.write(ciphertext[start : start + _SEALED_SLICE])
                start += _SEALED_SLICE
            try:
                # Read until the TLS object is empty: plaintext left inside raises no socket event, and the association
                # would stall. Never ask it for more than it has: SSLWantReadError costs more than a small record.
                while incoming.pending or pending():
                    got = read(RECORD, into[filled:])
                    if not got:  # close_notify: read into a buffer, Python returns 0 instead of raising
                        self.closed = True
                        break
                    filled += got  # type: ignore[operator]
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self.closed = True
            except ssl.SSLError as error:
                self.failure = error
            if start >= size:
                break
        # KeyUpdates and empty records cost us work and are free for the peer; without a limit they cost it forever.
        if filled:
            self._barren = 0
        elif size and self.failure is None and not self.closed:
            self._barren += size
            if self._barren > MAX_BARREN:
                self.failure = BarrenTraffic(f"{self._barren} bytes of TLS without application data")
        return filled

    def encrypt(self, plaintext: memoryview) -> bool:
        """Encrypt `plaintext` (at most `SLICE` bytes) for `output`; return False, with `failure` set, if TLS cannot."""
        try:
            self.object.write(plaintext)
            return True
        except ssl.SSLError as error:
            # Half a handshake message of the peer (a KeyUpdate in two records) makes OpenSSL raise SSLWantReadError on
            # every write until the other half comes. No honest sender does that, so it ends the connection.
            self.failure = error
            return False

    @property
    def has_output(self) -> bool:
        """True if there is something to send: handshake, alert, KeyUpdate or encrypted data."""
        return self._outgoing.pending > 0

    def output(self) -> bytes:
        """Take everything that is to be sent."""
        return self._outgoing.read()

    def close(self) -> None:
        """Write a close_notify. Call it once and only after `decrypt` has returned.

        With data left inside, `unwrap` leaves the object in an error state; so does a second call. The incoming BIO is
        never given an EOF instead (`write_eof`): later writes would fail.
        """
        try:
            self.object.unwrap()
        except ssl.SSLError:
            # Normally SSLWantReadError: the peer's close_notify is not here yet. Otherwise nothing can be sent.
            pass
