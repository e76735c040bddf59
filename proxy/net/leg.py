"""One side of an association: a non-blocking socket, TLS or plain, read into buffers that the whole process shares.

A leg knows bytes, not DICOM. Whoever drives it (`LegOwner`: the stages, then the relay) is told when there is
something to read, when everything that waited was written, and when the connection broke.
"""

import errno
import socket
from typing import Protocol

from proxy.dimse.walk import LONGEST_HELD_BACK
from proxy.net.poller import BROKEN, IN, OUT, Poller
from proxy.net.tcp import acknowledge_promptly, reset_on_close, unacknowledged_bytes
from proxy.tls.endpoint import RECORD, SEALED_RECORD, SLICE, BarrenTraffic, TlsEndpoint

# Read from a socket at most at once: bounds the work of one event, and what may have to wait in memory per direction.
# Whole records, as the TLS endpoint likes them: 256 KiB of plaintext, whichever leg it comes from.
_RECORDS = 16
# In front of what was read there is room for what the walk left over, so that the two are sent as one piece.
_HEADROOM = LONGEST_HELD_BACK
# Used and drained inside one callback, never across an await: one pair serves every association of the process.
_CIPHERTEXT = memoryview(bytearray(_RECORDS * SEALED_RECORD))
_PLAINTEXT = memoryview(bytearray(_HEADROOM + (_RECORDS + 2) * RECORD))
_PLAIN_END = _HEADROOM + _RECORDS * RECORD
_BEFORE_TLS = 16 * 1024  # what a peer that has proved nothing may make us hold
# Read at once from a TLS peer that has no association, or whose last bytes were hardly data: a whole buffer of
# KeyUpdates (27 bytes and 40 us each) would take 0.4 s.
_SUSPECT = _CIPHERTEXT[: 4 * 1024]
_NOTHING = memoryview(b"")


class LegOwner(Protocol):
    """Who drives a leg."""

    def readable(self, leg: "Leg") -> None:
        """There is something to read, or the end of it."""

    def drained(self, leg: "Leg") -> None:
        """What waited to be written is written (or can never be); or a connect came to its end, either way."""

    def broken(self, leg: "Leg") -> None:
        """The connection broke while nobody was reading."""

    def crashed(self, leg: "Leg", error: Exception) -> None:
        """A bug showed in one of these calls."""


class _Nobody:
    """The owner of a closed leg."""

    @staticmethod
    def readable(leg: "Leg") -> None:
        """Nothing is read any more."""

    drained = broken = readable

    @staticmethod
    def crashed(leg: "Leg", error: Exception) -> None:
        """There is nothing left to end."""


class Leg:
    """A connected socket and, where it speaks TLS, its endpoint. All sizes and counts are of plaintext unless said."""

    __slots__ = (
        "_close_notify",
        "_connecting",
        "_control_waits",
        "_discarding",
        "_finishing",
        "_full",
        "_mask",
        "_poller",
        "_reading",
        "_room",
        "_waiting",
        "acknowledges",
        "associated",
        "blocked",
        "closed",
        "descriptor",
        "eof",
        "finished",
        "lost",
        "owner",
        "received",
        "sent",
        "socket",
        "tls",
        "tls_failure",
        "wire_eof",
    )

    def __init__(self, sock: socket.socket, poller: Poller, owner: LegOwner, *, connecting: bool = False) -> None:
        self.socket = sock
        self.descriptor = sock.fileno()
        self.owner = owner
        self.tls: TlsEndpoint | None = None
        self.tls_failure: Exception | None = None
        self.received = 0
        self.sent = 0
        self.eof = False  # no plaintext will come any more: EOF, close_notify, a failure of TLS
        self.wire_eof = False  # nothing will come at all
        self.lost: str | None = None  # the connection broke: the system's word for it
        self.acknowledges = True  # every short read, at once
        self.associated = False  # the relay has it
        self.blocked = False  # the other leg cannot take more
        self.finished = False  # our FIN is sent
        self.closed = False
        self._poller = poller
        # Ciphertext on a TLS leg. A list: mostly empty, and an empty deque weighs ten times as much.
        self._waiting: list[memoryview] = []
        self._control_waits = False
        self._discarding = False
        self._finishing = False
        self._room = _SUSPECT  # for ciphertext
        self._full = False  # the last read filled the buffer: there is more, most likely
        self._close_notify = False
        self._connecting = connecting
        self._reading = not connecting
        self._mask = OUT if connecting else IN
        poller.register(self.descriptor, self._mask, self)

    # --- events -----------------------------------------------------------------------------------------------------

    def ready(self, mask: int) -> None:
        """Called by the poller."""
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
        if self.closed:
            return
        if self._mask & IN:
            if mask & (IN | BROKEN):
                self.owner.readable(self)
        elif mask & BROKEN:
            # Level-triggered and not maskable: it would be reported at every turn until somebody reads again.
            self._poller.unregister(self.descriptor)
            self._mask = -1
            if not self.wire_eof:
                self.owner.broken(self)

    def crashed(self, error: Exception) -> None:
        """Called by the poller."""
        self.owner.crashed(self, error)

    def set_reading(self, reading: bool) -> None:
        """Whether the owner wants to be told of bytes to read."""
        self._reading = reading
        self._update()

    def set_blocked(self, blocked: bool) -> None:
        """Whether reading must wait because the other leg cannot take more."""
        self.blocked = blocked
        self._update()

    def discard(self) -> None:
        """Read on to the end of the wire, TLS or not, and keep nothing: with unread input a close would be a RST."""
        self._discarding = self._reading = self.acknowledges = True
        self.blocked = self._control_waits = False
        self._update()

    def _update(self) -> None:
        """Tell the poller what this leg waits for."""
        if self.closed:
            return
        mask = 0
        # A peer that makes TLS answer and does not read the answers is not read either.
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
        """One read of what is on the wire, before or during the TLS handshake; empty at EOF and where nothing is."""
        size = self._receive(_CIPHERTEXT[:_BEFORE_TLS])
        return _CIPHERTEXT[:size]

    def receive(self, held_back: bytes = b"") -> memoryview:
        """One read: `held_back` and then new plaintext, valid until the next call on any leg. Sets `eof` and `lost`."""
        start = _HEADROOM - len(held_back)
        if held_back:
            _PLAINTEXT[start:_HEADROOM] = held_back
        if self.tls is None:
            size = self._receive(_PLAINTEXT[_HEADROOM:_PLAIN_END])
        else:
            arrived = self._receive(self._room)
            size = self._decrypt(_CIPHERTEXT[:arrived], _PLAINTEXT[_HEADROOM:])
            self._room = _CIPHERTEXT if self.associated and 2 * size > arrived else _SUSPECT
        self.received += size
        return _PLAINTEXT[start : _HEADROOM + size]

    def receive_decrypted(self) -> memoryview:
        """Plaintext that already came with the end of the handshake. Reads no socket."""
        size = self._decrypt(_NOTHING, _PLAINTEXT[_HEADROOM:])
        self.received += size
        return _PLAINTEXT[_HEADROOM : _HEADROOM + size]

    def _receive(self, buffer: memoryview) -> int:
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
        """Have what was read acknowledged now, where reading does not. Costs a packet, so not while more is there."""
        if not self._full:
            acknowledge_promptly(self.socket)

    def _decrypt(self, ciphertext: memoryview, into: memoryview) -> int:
        tls = self.tls
        assert tls is not None
        size = tls.decrypt(ciphertext, into)
        if tls.has_output:  # a KeyUpdate's answer, or an alert
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
        """Whether a TLS peer ended without close_notify."""
        return self.tls is not None and self.eof and not self.tls.closed and self.lost is None

    @property
    def barren(self) -> bool:
        """Whether the peer was cut for keeping TLS busy without data."""
        return isinstance(self.tls_failure, BarrenTraffic)

    # --- writing ----------------------------------------------------------------------------------------------------

    def send(self, data: memoryview | bytes) -> bool:
        """Send plaintext; False when some of it has to wait (`drained` will be called).

        Nothing is ever refused; where TLS cannot speak any more, `eof` and `tls_failure` are set.
        """
        size = len(data)
        self.sent += size
        if self.tls is None:
            self._write(data)
        elif self.tls.failure is None:
            view = memoryview(data)
            for start in range(0, size, SLICE):
                if not self.tls.encrypt(view[start : start + SLICE]):
                    self._tls_ended()
                    break
                self._write(self.tls.output())
        return not self._waiting

    def send_raw(self, data: bytes) -> bool:
        """Send bytes that go on the wire as they are: a TLS handshake, an alert."""
        self._write(data)
        return not self._waiting

    @property
    def waiting(self) -> bool:
        """Whether something has to wait until the peer reads."""
        return bool(self._waiting)

    def _write(self, data: memoryview | bytes) -> None:
        if self.lost is not None or self.closed:
            return
        if not self._waiting:
            try:
                sent = self.socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._write_failed(error)
                return
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
        self._waiting.append(memoryview(bytes(data)))
        self._update()

    def _flush(self) -> None:
        waiting = self._waiting
        while waiting:
            head = waiting[0]
            try:
                sent = self.socket.send(head)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._write_failed(error)
                return
            if sent < len(head):
                waiting[0] = head[sent:]
                return
            del waiting[0]
        self._control_waits = False
        if self._finishing:
            self._shut()

    def _write_failed(self, error: OSError) -> None:
        """The peer is gone for writing. What it sent before that can still be read."""
        self._waiting.clear()
        self._control_waits = False
        if error.errno not in (errno.EPIPE, errno.ECONNRESET):
            self.lost = error.strerror or str(error)
        self.finished = True
        self._update()

    # --- ending -----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Say that nothing more will be sent, behind what waits: close_notify and FIN. Reading goes on."""
        if self._finishing or self.closed:
            return
        self._finishing = True
        if self._waiting:
            return
        self._shut()

    def _shut(self) -> None:
        if self.tls is not None and self.tls.failure is None and not self._close_notify:
            self._close_notify = True
            # Everything fed so far was decrypted by the callback that fed it: at most a part of a record is inside.
            self.tls.close()
            if self.tls.has_output:
                self._write(self.tls.output())
                if self._waiting:
                    return  # `_flush` comes back here
        self.finished = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # already gone

    def undelivered(self) -> int:
        """Bytes that the peer's kernel has not acknowledged yet; 0 once the connection is gone."""
        if self.closed or self.lost is not None:
            return 0
        return unacknowledged_bytes(self.socket) + sum(len(chunk) for chunk in self._waiting)

    def close(self, *, reset: bool = False) -> None:
        """Close the socket, with a RST where `reset` says so. The only place that does; may be called twice."""
        if self.closed:
            return
        self.closed = True
        if self._mask != -1:
            self._poller.unregister(self.descriptor)
        self._waiting.clear()
        # Nothing refers back from here: what an association held is free at once, not when the collector comes by,
        # which does not know of the 30 KiB that OpenSSL holds behind it.
        self.owner = _Nobody
        self.tls = None
        if reset:
            reset_on_close(self.socket)
        self.socket.close()
