"""The PACS of the demo, on pynetdicom: plain DICOM, C-ECHO, C-STORE to a folder, C-FIND on that folder."""

import errno
import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

_SUCCESS, _PENDING = 0x0000, 0xFF00
_CANNOT_UNDERSTAND = 0xC000  # PS3.4 Table B.2-1
_CANCELLED = 0xFE00
_DOES_NOT_MATCH_SOP_CLASS = 0xA900  # PS3.4 Table C.4-1
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}


class Pacs:
    """One PACS with one AE title on a port of 127.0.0.1. It stores instances in `folder`."""

    def __init__(self, title: str, folder: Path, port: int) -> None:
        """Start the PACS; port 0 stands for any free one. Raises OSError if the port is taken."""
        self.title = title
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        entity = AE(ae_title=title)
        entity.require_called_aet = True
        entity.supported_contexts = AllStoragePresentationContexts
        for sop_class in (
            Verification,
            PatientRootQueryRetrieveInformationModelFind,
            StudyRootQueryRetrieveInformationModelFind,
        ):
            entity.add_supported_context(sop_class)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_FIND, self._find)]
        self._server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        self.port: int = self._server.socket.getsockname()[1]

    def close(self) -> None:
        """End the PACS and its associations."""
        self._server.shutdown()

    def _store(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if not _UID.fullmatch(uid):  # The UID becomes the name of a file: nothing like `../` may pass.
            return _CANNOT_UNDERSTAND
        (self.folder / f"{uid}.dcm").write_bytes(event.encoded_dataset())
        return _SUCCESS

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        unique = _UNIQUE_KEYS.get(query.get("QueryRetrieveLevel", ""))
        if unique is None:
            yield _DOES_NOT_MATCH_SOP_CLASS, None
            return
        answered = set[str]()
        for path in sorted(self.folder.glob("*.dcm")):
            stored = dcmread(path, stop_before_pixels=True)
            if event.is_cancelled:
                yield _CANCELLED, None
                return
            if str(stored.get(unique)) not in answered and _matches(query, stored):
                answered.add(str(stored.get(unique)))
                yield _PENDING, _answer(query, stored)


def start_pacs(title: str, folder: Path, preferred: int) -> Pacs:
    """Start a PACS on the preferred port, or on any free one if that is taken. Raises OSError."""
    try:
        return Pacs(title, folder, preferred)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    return Pacs(title, folder, 0)


def _matches(query: Any, stored: Any) -> bool:
    """Return whether an instance matches by single values, lists, wildcards and universal matching (PS3.4 C.2.2.2)."""
    for element in query:
        if element.keyword in ("QueryRetrieveLevel", "SpecificCharacterSet") or element.is_empty:
            continue
        wanted = element.value if element.VM > 1 else [element.value]
        value = str(stored.get(element.keyword, ""))
        if not any(fnmatch.fnmatchcase(value, str(pattern)) for pattern in wanted):
            return False
    return True


def _answer(query: Any, stored: Any) -> Dataset:
    answer = Dataset()
    for element in query:
        setattr(answer, element.keyword, stored.get(element.keyword, ""))
    answer.QueryRetrieveLevel = query.QueryRetrieveLevel
    return answer
