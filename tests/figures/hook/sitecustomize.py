"""Records the calls of a gateway's processes. A Python that finds this file on PYTHONPATH imports it when it starts.

One file a process, `PID.calls` in the folder $DICOMGATE_CALLS, one event a line, its time (CLOCK_MONOTONIC) and thread
first: `call FILE FUNCTION` and `return` of what lies below $DICOMGATE_PROXY, `socket METHOD` of TCP sockets.
"""

import os
import socket
import sys
import threading
import time
from types import FrameType

_TCP = (socket.AF_INET, socket.AF_INET6)
_METHODS = frozenset({"_accept", "accept", "connect", "connect_ex", "recv", "recv_into", "send", "sendmsg"})


def _record(folder: str, root: str) -> None:
    log = os.open(os.path.join(folder, f"{os.getpid()}.calls"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(event: str) -> None:
        os.write(log, f"{time.monotonic():.6f} {threading.get_ident()} {event}\n".encode())

    def profile(frame: FrameType, kind: str, argument: object) -> None:
        if kind == "c_call":
            owner = getattr(argument, "__self__", None)
            if isinstance(owner, socket.socket | socket._socket.socket) and owner.family in _TCP:
                name = argument.__name__
                if name in _METHODS:
                    write(f"socket {name.strip('_')}")
        elif kind in ("call", "return") and (file := frame.f_code.co_filename).startswith(root):
            write(f"{kind} {file[len(root) :]} {frame.f_code.co_name}")

    threading.setprofile(profile)
    sys.setprofile(profile)


if "DICOMGATE_CALLS" in os.environ:
    _record(os.environ["DICOMGATE_CALLS"], os.environ["DICOMGATE_PROXY"])
