"""DCMTK's tools as senders and as a PACS, with their TLS options and their words."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.listening import need, wait_listening
from tests.support.ports import free_port
from tests.support.processes import Child, clean_environment
from tests.support.site import Site

#: What the tools print of an A-ASSOCIATE-RJ.
CALLED_UNKNOWN = "Reason: Called AE Title Not Recognized"
CALLING_UNKNOWN = "Reason: Calling AE Title Not Recognized"
PERMANENT = "Result: Rejected Permanent, Source: Service User"


@dataclass(frozen=True)
class Result:
    """The exit code of a tool, and all that it printed."""

    code: int
    text: str


def tls(
    site: Site | None = None, *, client: str | None = None, ca: Path | None = None, profile: str = "+py"
) -> list[str]:
    """Options: anonymous (+tla) or with a client certificate of the site; `ca` None: the peer is not verified (-ic)."""
    if client is None:
        options = ["+tla"]
    else:
        assert site is not None
        options = ["+tls", str(site.path(f"{client}.key")), str(site.path(f"{client}.pem"))]
    return [*options, profile, *(["-ic"] if ca is None else ["-rc", "+cf", str(ca)])]


def run(tool: str, *arguments: str | Path, timeout: float = 60) -> Result:
    """Run a tool to its end."""
    need(tool)
    try:
        ended = subprocess.run(
            [tool, *(str(part) for part in arguments)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{tool} did not end within {timeout:g} s: {error.stdout!r} {error.stderr!r}") from None
    return Result(ended.returncode, ended.stdout + ended.stderr)


def echoscu(
    port: int, options: list[str] | None = None, *, calling: str = "CT1", called: str = "MAINPACS", timeout: float = 60
) -> Result:
    """C-ECHO to 127.0.0.1."""
    titles = ("-aet", calling, "-aec", called)
    return run("echoscu", "-v", *(options or []), *titles, "127.0.0.1", str(port), timeout=timeout)


def storescu(
    port: int,
    files: Path | list[Path],
    options: list[str] | None = None,
    *,
    calling: str = "CT1",
    called: str = "MAINPACS",
    timeout: float = 120,
) -> Result:
    """C-STORE of files, or of all files of a folder, to 127.0.0.1."""
    what = ["+sd", str(files)] if isinstance(files, Path) and files.is_dir() else files
    what = what if isinstance(what, list) else [what]
    titles = ("-aet", calling, "-aec", called)
    return run("storescu", "-v", *(options or []), *titles, "127.0.0.1", str(port), *what, timeout=timeout)


def findscu(
    port: int,
    options: list[str] | None = None,
    *,
    calling: str = "CT1",
    called: str = "MAINPACS",
    worklist: bool = False,
    timeout: float = 60,
) -> Result:
    """C-FIND of all studies, or of all items of the worklist, at 127.0.0.1."""
    keys = ("-W", "-k", "PatientID") if worklist else ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID")
    titles = ("-aet", calling, "-aec", called)
    return run("findscu", "-v", *(options or []), *titles, *keys, "127.0.0.1", str(port), timeout=timeout)


def movescu(
    port: int, study: str, destination: str, *, calling: str = "CT1", called: str = "MAINPACS", timeout: float = 60
) -> Result:
    """C-MOVE of a study to an AE title, asked for at 127.0.0.1 without TLS, which the tool does not have."""
    return _retrieve("movescu", port, study, ["-d", "-aem", destination, "-aet", calling, "-aec", called], timeout)


def getscu(
    port: int, study: str, folder: Path, *, calling: str = "CT1", called: str = "MAINPACS", timeout: float = 60
) -> Result:
    """C-GET of a study from 127.0.0.1 to a folder, without TLS, which the tool does not have."""
    folder.mkdir(parents=True, exist_ok=True)
    return _retrieve("getscu", port, study, ["-d", "-od", str(folder), "-aet", calling, "-aec", called], timeout)


def _retrieve(tool: str, port: int, study: str, options: list[str], timeout: float) -> Result:
    keys = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}")
    return run(tool, *options, *keys, "127.0.0.1", str(port), timeout=timeout)


@dataclass
class StoreScp:
    """A running storescp and the folder it stores to."""

    port: int
    folder: Path
    child: Child

    @property
    def stored(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_file())


@contextlib.contextmanager
def storescp(folder: Path, *options: str, aet: str = "MAINPACS") -> Iterator[StoreScp]:
    """A storescp on a free port, one process; `options` as `+B` (bit by bit) come on top."""
    need("storescp")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    child = Child(["storescp", "-v", "-aet", aet, "-od", folder, *options, str(port)], cwd=folder)
    try:
        wait_listening(child, port)
        yield StoreScp(port, folder, child)
        assert child.alive, f"storescp ended with {child.process.returncode}: {child.text}"
    finally:
        child.end()
