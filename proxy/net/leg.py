"""One side of an association: a non-blocking socket, TLS or plain, read into buffers that the whole process shares.

A leg knows bytes, not DICOM. It tells its `LegOwner` (the stages, later the relay) when there is something to read,
when everything that waited has been written, and when the connection broke.
"""

import socket
from typing import Protocol

from proxy.dimse.walk import LONGEST_HELD_BACK
from proxy.net.poller import BROKEN, IN, OUT, Poller
from proxy.net.sending import SendingSide
from proxy.net.tcp import acknowledge_promptly, reset_on_close
from proxy.tls.endpoint import RECORD, SEALED_RECORD

# The most that one event reads from a socket. It bounds the work of an event, and what may have to wait in memory for
# one direction. Whole TLS records: a record cut in two costs OpenSSL a copy. 256 KiB of plaintext on either leg.
_RECORDS = 16
# Room before the bytes read for those that the walk held back, so that both are judged and sent as one piece.
_HEADROOM = LONGEST_HELD_BACK
# One pair serves every association of the process: each callback drains the buffers before it returns, and no await
# stands between filling and draining. A buffer for each association would cost half a megabyte of memory each.
_CIPHERTEXT = memoryview(bytearray(_RECORDS * SEALED_RECORD))
# Two records more than one read brings: TLS may hold the beginning of a record, and `TlsEndpoint.decrypt` asks for a
# record of spare room.
_PLAINTEXT = memoryview(bytearray(_HEADROOM + (_RECORDS + 2) * RECORD))
_PLAIN_END = _HEADROOM + _RECORDS * RECORD
_BEFORE_TLS = 16 * 1024  # the most that one event reads of a PROXY header, a ClientHello or a handshake
# The most that one event reads from a TLS peer without an association, or one whose last bytes carried little data. A
# whole buffer of KeyUpdates (27 bytes and 40 us each) would block the event loop for 0.4 s.
_SUSPECT = _CIPHERTEXT[: 4 * 1024]
_NOTHING = memoryview(b"")


class LegOwner(Protocol):
    """The code that drives a leg: the stages, then the relay, then the closing."""

    def readable(self, leg: "Leg") -> None:
        """Read once: the leg has bytes, EOF or an error."""

    def drained(self, leg: "Leg") -> None:
        """Go on: nothing waits to be written any more, or a connect has succeeded or failed."""

    def broken(self, leg: "Leg") -> None:
        """Act on a connection that broke while the leg was not read."""

    def crashed(self, leg: "Leg", error: Exception) -> None:
        """End this one association: one of the calls above raised, which is a bug."""


class _ClosedOwner:
    """The owner of a closed leg: ignores every event."""

    @staticmethod
    def readable(leg: "Leg") -> None:
        """Ignore."""

    drained = broken = readable

    @staticmethod
    def crashed(leg: "Leg", error: Exception) -> None:
        """Ignore."""


class Leg(SendingSide):
    """A connected socket and its TLS endpoint, if it has one. Sizes and counts are of plaintext unless noted."""

    __slots__ = (
        "_connecting",
        "_discarding",
        "_full",
        "_mask",
        "_poller",
        "_reading",
        "_room",
        "acknowledges",
        "associated",
        "blocked",
        "descriptor",
        "eof",
        "owner",
        "received",
        "tls_failure",
        "wire_eof",
    )

    def __init__(self, sock: socket.socket, poller: Poller, owner: LegOwner, *, connecting: bool = False) -> None:
        super().__init__(sock)
        self.descriptor = sock.fileno()
        self.owner = owner
        self.tls_failure: Exception | None = None
        self.received = 0
        # Two ends: after close_notify or a failure of TLS the peer may still send bytes, and these must be read before
        # the socket is closed.
        self.eof = False  # no plaintext will follow: EOF, close_notify or a failure of TLS
        self.wire_eof = False  # no byte will follow
        self.acknowledges = True  # acknowledge every short read at once
        self.associated = False  # the relay owns it
        self.blocked = False  # the other leg cannot take more
        self._poller = poller
        self._discarding = False
        self._room = _SUSPECT  # for the next read of ciphertext
        self._full = False  # the last read filled the buffer: most likely there is more
        self._connecting = connecting
        self._reading = not connecting
        self._mask = OUT if connecting else IN  # as the poller has it; -1: not registered
        poller.register(self.descriptor, self._mask, self)

    # --- events -----------------------------------------------------------------------------------------------------

    def ready(self, mask: int) -> None:
        """Act on readiness that the poller reports: write first, which may unblock the other leg, then read."""
        if mask & OUT and self._mask & OUT:
            if self._connecting:
                self._connecting = False
                self.owner.drained(self)
                return
            if self._waiting:
                self._flush()
            if not self._waiting:
                self._update()
                self.owner.drained(self)
        if self.closed:  # by its owner, in `drained`
            return
        if self._mask & IN:
            # The read reports a break, after the bytes that came before it.
            if mask & (IN | BROKEN):
                self.owner.readable(self)
        elif mask & BROKEN:
            # EPOLLHUP cannot be masked and is level-triggered: every turn would report it until this leg is read again,
            # when `_update` registers the descriptor again.
            self._poller.unregister(self.descriptor)
            self._mask = -1
            if not self.wire_eof:
                self.owner.broken(self)

    def crashed(self, error: Exception) -> None:
        """End the association after a bug that the poller has caught."""
        self.owner.crashed(self, error)

    def set_reading(self, reading: bool) -> None:
        """Set whether the owner wants to read."""
        self._reading = reading
        self._update()

    def set_blocked(self, blocked: bool) -> None:
        """Set whether reading must wait because the other leg cannot take more."""
        self.blocked = blocked
        self._update()

    def discard(self) -> None:
        """From now on read to the end of the wire, TLS or not; the owner drops the bytes.

        Closing a socket with unread input would send a RST.
        """
        self._discarding = self._reading = self.acknowledges = True
        self.blocked = self._control_waits = False
        self._update()

    def _update(self) -> None:
        """Tell the poller what this leg waits for."""
        if self.closed:
            return
        mask = 0
        # A peer that makes TLS answer but does not read the answers is not read either: they would pile up in memory.
        ended = self.wire_eof if self._discarding else self.eof
        if self._reading and not self.blocked and not self._control_waits and not ended:
            mask = IN
        if self._waiting:
            mask |= OUT
        if mask == self._mask:
            return
        if self._mask == -1:
            if not mask:
                return
            self._poller.register(self.descriptor, mask, self)
        else:
            self._poller.modify(self.descriptor, mask)
        self._mask = mask

    # --- reading ----------------------------------------------------------------------------------------------------

    def receive_raw(self) -> memoryview:
        """Read once from the wire, before or during the TLS handshake. Empty at EOF and if nothing has arrived."""
        size = self._receive(_CIPHERTEXT[:_BEFORE_TLS])
        return _CIPHERTEXT[:size]

    def receive(self, held_back: bytes = b"") -> memoryview:
        """Read once. Return `held_back` followed by new plaintext, valid until the next call on any leg.

        Sets `eof` and `lost`.
        """
        start = _HEADROOM - len(held_back)
        if held_back:
            _PLAINTEXT[start:_HEADROOM] = held_back
        if self.tls is None:
            size = self._receive(_PLAINTEXT[_HEADROOM:_PLAIN_END])
        else:
            arrived = self._receive(self._room)
            size = self._decrypt(_CIPHERTEXT[:arrived], _PLAINTEXT[_HEADROOM:])
            # Data made up at least half of the wire: bulk, of which the next read may take a whole buffer.
            self._room = _CIPHERTEXT if self.associated and 2 * size > arrived else _SUSPECT
        self.received += size
        return _PLAINTEXT[start : _HEADROOM + size]

    def receive_decrypted(self) -> memoryview:
        """Return plaintext that arrived together with the end of the handshake. Reads no socket."""
        size = self._decrypt(_NOTHING, _PLAINTEXT[_HEADROOM:])
        self.received += size
        return _PLAINTEXT[_HEADROOM : _HEADROOM + size]

    def _receive(self, buffer: memoryview) -> int:
        """Read once into `buffer`; return the number of bytes. 0: nothing has arrived, EOF or an error."""
        try:
            size = self.socket.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            self._full = False
            return 0
        except OSError as error:
            self.lost = error.strerror or str(error)
            self.eof = self.wire_eof = True
            self._update()
            return 0
        if not size:
            self.eof = self.wire_eof = True
            self._update()
            return 0
        self._full = size == len(buffer)
        if self.acknowledges and not self._full:
            acknowledge_promptly(self.socket)
        return size

    def acknowledge(self) -> None:
        """Acknowledge the bytes read, unless the last read filled its buffer.

        An ACK of its own costs a packet. While the sender has more to send, the kernel acknowledges in time.
        """
        if not self._full:
            acknowledge_promptly(self.socket)

    def _decrypt(self, ciphertext: memoryview, into: memoryview) -> int:
        tls = self.tls
        assert tls is not None
        size = tls.decrypt(ciphertext, into)
        if tls.has_output:  # the answer to a KeyUpdate, or an alert
            self._write(tls.output())
            if self._waiting and not self._discarding:
                self._control_waits = True
                self._update()
        if tls.closed or tls.failure is not None:
            self._tls_ended()
        return size

    def _tls_ended(self) -> None:
        assert self.tls is not None
        self.eof = True
        self.tls_failure = self.tls.failure
        self._update()

    @property
    def truncated(self) -> bool:
        """True if a TLS peer ended without close_notify."""
        return self.tls is not None and self.eof and not self.tls.closed and self.lost is None

    # --- ending -----------------------------------------------------------------------------------------------------

    def close(self, *, reset: bool = False) -> None:
        """Close the socket, with a RST if `reset`. The only place that closes it; may be called twice."""
        if self.closed:
            return
        self.closed = True
        if self._mask != -1:
            self._poller.unregister(self.descriptor)
        self._waiting.clear()
        # Cut the references back, so that an association is freed at once. The garbage collector would come late: it
        # does not see the 30 KiB that OpenSSL holds for each TLS object.
        self.owner = _ClosedOwner
        self.tls = None
        if reset:
            reset_on_close(self.socket)
        self.socket.close()
