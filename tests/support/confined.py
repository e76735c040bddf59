"""A gateway under an unprivileged user, in a root of its own that holds the program and its files, read-only.

As a script: forbid writes to all files (Landlock, if the kernel has it) and the system calls that no service needs
(a part of what systemd's @system-service leaves out), then become the command.
"""

import ctypes
import os
import shutil
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.failing_calls import NUMBERS, filter_calls
from tests.support.gateway import REPOSITORY
from tests.support.namespaces import mounted

NOBODY = 65534
NEEDED = {"accept4", "connect", "epoll_ctl", "getrandom", "seccomp", "socket"}
_REFUSED = 0x00050000 | 1  # SECCOMP_RET_ERRNO, EPERM
_WRITE_FILE = 1 << 1
_WRITING = _WRITE_FILE | 0x1FF0  # and to remove and to create files of any kind
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64")


def confined(root: Path, folders: Sequence[Path]) -> tuple[str, ...]:
    """A launcher. The gateway sees `folders` beside the program; from here on they belong to its user."""
    root.mkdir()
    for folder in folders:
        folder.mkdir(exist_ok=True)
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, NOBODY, NOBODY)
    program = [REPOSITORY / "proxy", REPOSITORY / "tests", Path(sys.prefix), Path(sys.base_prefix)]
    commands = [f"mount -t tmpfs -o mode=755 none {root}", f"mkdir {root}/proc {root}/dev"]
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            commands.append(f"cp -d {path} {root}{path}")
        elif path.exists():
            commands += _bound(path, root)
    for path in dict.fromkeys([*program, *folders]):
        commands += _bound(path, root)
    for device in ("null", "urandom"):
        commands += [f"touch {root}/dev/{device}", f"mount --bind /dev/{device} {root}/dev/{device}"]
    commands += [f"mount --rbind /proc {root}/proc", f"mount -o remount,ro {root}"]
    as_nobody = ("chroot", f"--userspec={NOBODY}:{NOBODY}", "--groups=", str(root))
    environment = ("env", "-u", "HOME", "-u", "TMPDIR", f"PYTHONPATH={REPOSITORY}")
    return (*mounted(*commands), *as_nobody, *environment, sys.executable, "-m", "tests.support.confined")


def _bound(path: Path, root: Path) -> list[str]:
    there = f"{root}{path}"
    return [f"mkdir -p {there}", f"mount --bind {path} {there}", f"mount -o remount,ro,bind {there}"]


def forbid_writing() -> None:
    """From here on this process and its children may write to no file but /dev/null (landlock(7))."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    handled = struct.pack("=Q", _WRITING)
    ruleset = libc.syscall(444, handled, len(handled), 0)
    if ruleset < 0:
        return
    null = os.open("/dev/null", os.O_PATH)
    libc.syscall(445, ruleset, 1, struct.pack("=Qi", _WRITE_FILE, null), 0)
    if libc.syscall(446, ruleset, 0):
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(null)
    os.close(ruleset)


if __name__ == "__main__":
    forbid_writing()
    filter_calls(sorted(NUMBERS.keys() - NEEDED), _REFUSED)
    os.execv(sys.argv[1], sys.argv[1:])
