"""A sans-IO TLS endpoint: ciphertext in, plaintext out, ciphertext to send out. It owns no socket.

It is an `ssl.SSLObject` over two `MemoryBIO`s. Both are fed and drained in slices, because a MemoryBIO never shrinks:
the memory of the largest burst would stay allocated for the life of the association.
"""

import ssl

#: A TLS 1.3 record holds 16 KiB of plaintext (RFC 8446 section 5.1).
RECORD = 16 * 1024
#: A full record on the wire: header, content type and tag (RFC 8446 section 5.2; all AEADs in use have the same tag).
SEALED_RECORD = RECORD + 5 + 1 + 16
# The most that is put into a BIO at once, because OpenSSL grows a buffer by a third more than asked for and never
# shrinks it. Bulk traffic comes in full records, so a slice is a multiple of them: an incomplete record costs an
# exception to read, and one more record to write.
SLICE = 3 * RECORD
_SEALED_SLICE = 3 * SEALED_RECORD
#: Bytes of ciphertext in a row, after the handshake, that may carry no plaintext (KeyUpdates, empty records). Four full
#: records: a stack that updates its keys between data stays far below (row 146, docs/robustness.md).
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
        self.closed = False  # the peer's close_notify has been read; our own direction is still open
        self.failure: ssl.SSLError | BarrenTraffic | None = None  # once set, nothing more can be read
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

        Sets `closed` at the peer's close_notify and `failure` where TLS breaks. Plaintext before either is returned and
        ciphertext after it is ignored, so the forwarded bytes do not depend on how the network cut the stream.
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
                pass  # the last record is incomplete: its rest comes with the next slice or call
            except ssl.SSLZeroReturnError:
                self.closed = True
            except ssl.SSLError as error:
                self.failure = error
            if start >= size:
                break
        # KeyUpdates and empty records cost the gateway CPU and the peer almost nothing: end a flood of them.
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
            # After half a handshake message of the peer (a KeyUpdate in two records) OpenSSL raises SSLWantReadError on
            # every write until the other half arrives. No honest sender splits one, so the connection ends.
            self.failure = error
            return False

    @property
    def has_output(self) -> bool:
        """True if there is something to send: handshake, alert, KeyUpdate or encrypted data."""
        return self._outgoing.pending > 0

    def output(self) -> bytes:
        """Take all ciphertext that waits to be sent."""
        return self._outgoing.read()

    def close(self) -> None:
        """Write a close_notify. Call it once and only after `decrypt` has returned.

        With data left inside, `unwrap` leaves the object in an error state; so does a second call. The incoming BIO is
        never given an EOF instead (`write_eof`): later writes would fail.
        """
        try:
            self.object.unwrap()
        except ssl.SSLError:
            # Usually SSLWantReadError: our close_notify is in `output` and the peer's has not come. After any other
            # error TLS cannot send one, and the caller closes without it.
            pass
