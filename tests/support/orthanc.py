"""A real Orthanc on ports and in a folder of its own, plain DICOM, looked into by its HTTP API."""

import contextlib
import hashlib
import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.listening import need, wait_listening
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Child


class Orthanc:
    """A running Orthanc; `port` is its DICOM port."""

    def __init__(self, folder: Path, *, aet: str = "ORTHANC", verbose: bool = False, **options: Any) -> None:
        need("Orthanc")
        folder.mkdir(parents=True, exist_ok=True)
        self.aet = aet
        self.port, self._http = free_port(), free_port()
        self._folder = folder
        config = {
            "Name": aet,
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "Plugins": [],
            "HttpPort": self._http,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": True,
            "DicomAet": aet,
            "DicomPort": self.port,
            "DicomCheckCalledAet": False,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "OverwriteInstances": True,
            "StableAge": 3600,
            **options,
        }
        path = folder / "config.json"
        path.write_text(json.dumps(config, indent=1))
        self._command = ["Orthanc", *(["--verbose"] if verbose else []), path]
        self.start()

    def start(self) -> None:
        """Start Orthanc, or start it again after a kill: on the same ports, with the same storage."""
        self.child = Child(self._command, cwd=self._folder)
        wait_listening(self.child, self.port, self._http)

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._http}{path}", timeout=PATIENCE) as answer:
            return bytes(answer.read())

    def instances(self) -> list[str]:
        """Orthanc's ids of all stored instances."""
        return list(json.loads(self._get("/instances")))

    def file(self, instance: str) -> bytes:
        """The DICOM file of an instance."""
        return self._get(f"/instances/{instance}/file")

    def remote_title(self, instance: str) -> str:
        """The AE title that an instance was received from."""
        return self._get(f"/instances/{instance}/metadata/RemoteAET").decode()

    def sha256_by_uid(self, data_set_of: Any) -> dict[str, str]:
        """SOP instance UID -> SHA-256 of the data set; `data_set_of(file)` gives (uid, data set bytes)."""
        found = (data_set_of(self.file(instance)) for instance in self.instances())
        return {uid: hashlib.sha256(data).hexdigest() for uid, data in found}

    def kill(self) -> None:
        """Kill Orthanc, as a crash would: it does not spend seconds waiting for its threads."""
        self.child.process.kill()
        self.child.end()

    def end(self) -> None:
        """Kill Orthanc and remove its storage."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def orthanc(folder: Path, **options: Any) -> Iterator[Orthanc]:
    """An Orthanc while the body runs."""
    server = Orthanc(folder, **options)
    try:
        yield server
        assert server.child.alive, server.child.text
    finally:
        server.end()
