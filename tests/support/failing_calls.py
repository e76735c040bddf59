"""System calls that fail when the test wants it, in a real process: seccomp's user notification (seccomp_unotify(2)).

The kernel asks the test about each call of the chosen kinds: the test lets it pass, or answers with an error number.
No privilege is needed, and the process itself is not changed.
"""

import ctypes
import fcntl
import os
import platform
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Container
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: On x86_64, and on aarch64.
_NUMBERS = {
    "accept4": (288, 242),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "connect": (42, 203),
    "epoll_ctl": (233, 21),
    "getrandom": (318, 278),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "ptrace": (101, 117),
    "reboot": (169, 142),
    "seccomp": (317, 277),
    "setns": (308, 268),
    "setuid": (105, 146),
    "socket": (41, 198),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
NUMBERS = {name: numbers[platform.machine() == "aarch64"] for name, numbers in _NUMBERS.items()}
EPOLL_ADD = 1  # the second argument of epoll_ctl

_NO_NEW_PRIVS = 38  # prctl(2)
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8  # seccomp(2)
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF
_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_*
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_CONTINUE = 1
_BLOCK = -1
_PATIENCE = 20.0  # seconds; the launcher is this file alone, without its package


class _Everybody:
    def __contains__(self, pid: object) -> bool:
        return True


EVERYBODY = _Everybody()


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def filter_calls(names: Collection[str], answer: int, flags: int = 0) -> int:
    """From here on these calls of this process and its children get `answer` (SECCOMP_RET_*); what seccomp returns."""
    parts = [struct.pack("=HBBI", _LOAD, 0, 0, 0)]
    for left, name in zip(range(len(names), 0, -1), names, strict=True):
        parts.append(struct.pack("=HBBI", _JUMP_IF_EQUAL, left, 0, NUMBERS[name]))
    parts += [struct.pack("=HBBI", _RETURN, 0, 0, action) for action in (_ALLOW, answer)]
    code = ctypes.create_string_buffer(b"".join(parts))
    program = _Program(len(parts), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    result = int(libc.syscall(NUMBERS["seccomp"], _SET_MODE_FILTER, flags, ctypes.byref(program)))
    if result < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return result


@dataclass
class _Rule:
    error: int
    pids: Container[int]
    skip: int
    second: int | None


class FailingCalls:
    """`launcher` starts a command whose calls of these names can be made to fail; `failed` counts those that were."""

    def __init__(self, folder: Path, *names: str) -> None:
        path = str(folder / "calls")
        self._asked = socket.socket(socket.AF_UNIX)
        self._asked.bind(path)
        self._asked.listen()
        self.launcher = (sys.executable, __file__, path, *names)
        self.failed: Counter[str] = Counter()
        self._names = {NUMBERS[name]: name for name in names}
        self._rules: dict[str, _Rule] = {}
        self._over, self._end = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def fail(self, name: str, error: int, pids: Container[int], *, skip: int = 0, second: int | None = None) -> None:
        """From here on calls of these processes fail, except the first `skip` ones; with `second`, those with it."""
        self._rules[name] = _Rule(error, pids, skip, second)

    def block(self, name: str) -> None:
        """From here on such a call, of any process, returns only when the test lets everything recover."""
        self._rules[name] = _Rule(_BLOCK, EVERYBODY, 0, None)

    def recover(self) -> None:
        """Nothing fails any more."""
        self._rules.clear()

    def close(self) -> None:
        """Call this after the command has ended: its calls are no longer answered."""
        os.close(self._end)
        self._asked.shutdown(socket.SHUT_RDWR)  # the thread still waits for a command that failed before its first call
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive(), "a call is not answered yet"
        self._asked.close()
        os.close(self._over)

    def _serve(self) -> None:
        try:
            with self._asked.accept()[0] as launcher:
                [listener] = socket.recv_fds(launcher, 1, 1)[1]
        except (OSError, ValueError):
            return  # the command has failed at its start
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(self._over, select.POLLIN)
        while (self._over, select.POLLHUP) not in (ready := poll.poll()):
            if (listener, select.POLLIN) in ready:
                with suppress(OSError):  # the caller was killed meanwhile
                    self._answer(listener)
            elif any(descriptor == listener for descriptor, _ in ready):
                break  # all processes that could call have ended
        os.close(listener)

    def _answer(self, listener: int) -> None:
        asked = bytearray(_NOTIFICATION.size)
        fcntl.ioctl(listener, _RECEIVE, asked)
        id, pid, _, number, _, _, _, second, *_ = _NOTIFICATION.unpack(asked)
        error = self._error(self._names[number], pid, second)
        answer = _RESPONSE.pack(id, 0, -error, 0) if error else _RESPONSE.pack(id, 0, 0, _CONTINUE)
        fcntl.ioctl(listener, _SEND, answer)

    def _error(self, name: str, pid: int, second: int) -> int:
        rule = self._rules.get(name)
        if rule is None or pid not in rule.pids or rule.second not in (None, second):
            return 0
        if rule.skip:
            rule.skip -= 1
            return 0
        self.failed[name] += 1
        while rule.error == _BLOCK:
            if self._rules.get(name) is not rule:
                return 0
            time.sleep(0.01)
        return rule.error


def main(path: str, names: list[str], command: list[str]) -> None:
    """Install the filter, hand its descriptor to the test, become the command."""
    with socket.socket(socket.AF_UNIX) as test:
        test.connect(path)
        listener = filter_calls(names, _NOTIFY, _NEW_LISTENER)
        socket.send_fds(test, [b"!"], [listener])
    os.close(listener)
    os.execvp(command[0], command)


if __name__ == "__main__":
    known = [name for name in sys.argv[2:] if name in NUMBERS]
    main(sys.argv[1], known, sys.argv[2 + len(known) :])
