"""A sans-IO TLS endpoint: ciphertext in, plaintext out, ciphertext to send out. It owns no socket.

`ssl.SSLObject` over two `MemoryBIO`s. Both are fed and drained in slices, because a MemoryBIO never gives memory back:
what a burst once filled stays allocated for the life of the association.
"""

import ssl

#: A TLS 1.3 record holds 16 KiB of plaintext (RFC 8446 section 5.1).
RECORD = 16 * 1024
#: A full one on the wire: header, content type and tag (RFC 8446 section 5.2, with the tag of every AEAD in use).
SEALED_RECORD = RECORD + 5 + 1 + 16
# The most that is ever put into a BIO at once: OpenSSL grows its buffers by a third more than asked for. Whole records,
# as far as bulk traffic is made of full ones: what is left of one costs an exception to read, and a record to write.
SLICE = 3 * RECORD
_SEALED_SLICE = 3 * SEALED_RECORD
#: Ciphertext without one byte of plaintext after the handshake (KeyUpdates, empty records) that is put up with.
MAX_BARREN = 64 * 1024


class BarrenTraffic(Exception):
    """The peer keeps TLS busy without sending a byte of application data."""


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
        """Go on with the handshake; True when it is complete. Raises `ssl.SSLError`; then `output` holds the alert."""
        self._incoming.write(ciphertext)
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self, ciphertext: memoryview, into: memoryview) -> int:
        """Decrypt all of `ciphertext` into `into`, which must be a record longer than it; the number of bytes written.

        Sets `closed` at the peer's close_notify and `failure` where TLS breaks; what comes behind either is ignored,
        what came before it is returned, so that chunking never changes what is forwarded.
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
                # Until the TLS object is empty: plaintext left inside it raises no socket event. It is not asked for
                # more than it can have: to say so it makes an exception, which costs more than a small record.
                while incoming.pending or pending():
                    got = read(RECORD, into[filled:])
                    if not got:
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
        if filled:
            self._barren = 0
        elif size and self.failure is None and not self.closed:
            self._barren += size
            if self._barren > MAX_BARREN:
                self.failure = BarrenTraffic(f"{self._barren} bytes of TLS without application data")
        return filled

    def encrypt(self, plaintext: memoryview) -> bool:
        """Encrypt `plaintext` (at most `SLICE` bytes) for `output`; False, and `failure`, where TLS cannot speak."""
        try:
            self.object.write(plaintext)
            return True
        except ssl.SSLError as error:
            # A peer that sends half a handshake message (a KeyUpdate in two records) makes OpenSSL refuse to write
            # until the other half comes, with SSLWantReadError. No sender of good faith does.
            self.failure = error
            return False

    @property
    def has_output(self) -> bool:
        """Whether TLS has something to say: handshake, alert, KeyUpdate or encrypted data."""
        return self._outgoing.pending > 0

    def output(self) -> bytes:
        """Everything that is to be sent."""
        return self._outgoing.read()

    def close(self) -> None:
        """Write a close_notify. Call once, after `decrypt` returned: with data left inside, it poisons the object."""
        try:
            self.object.unwrap()
        except ssl.SSLError:
            # SSLWantReadError is the rule: the peer's close_notify has not come. Any other failure has no one to tell.
            pass
