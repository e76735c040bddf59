"""A workstation of pynetdicom: it takes CT images and storage commitment reports, and asks for the latter."""

import contextlib
import queue
from collections.abc import Iterator
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, StorageCommitmentPushModel, Verification

from tests.support.ports import free_port

_TRANSFER_SYNTAX = "1.2.840.10008.1.2.1"
_INSTANCE = "1.2.840.10008.1.20.1.1"  # the well-known SOP instance (PS3.4 J.3.5)
_REQUEST = 1  # action type id (PS3.4 Table J.3-1)


class Workstation:
    """Listens on `port`, plain. `stored`: SOP instance UIDs; `reports`: (event type id, event information)."""

    def __init__(self, aet: str) -> None:
        self.aet = aet
        self.port = free_port()
        self.stored: queue.Queue[str] = queue.Queue()
        self.reports: queue.Queue[tuple[int, Any]] = queue.Queue()
        self._entity = AE(ae_title=aet)
        self._entity.acse_timeout = self._entity.dimse_timeout = self._entity.network_timeout = 20
        self._entity.add_supported_context(Verification)
        self._entity.add_supported_context(CTImageStorage, _TRANSFER_SYNTAX)
        # The PACS asks for the SCP's role, the workstation stays the SCU of the service (PS3.4 J.3.3).
        self._entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_EVENT_REPORT, self._report)]
        self._server = self._entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def _store(self, event: Any) -> int:
        self.stored.put(str(event.request.AffectedSOPInstanceUID))
        return 0

    def _report(self, event: Any) -> tuple[int, None]:
        self.reports.put((event.event_type, event.event_information))
        return 0, None

    def ask_for_commitment(self, port: int, called: str, data_set: Any) -> int:
        """N-ACTION to a PACS on 127.0.0.1: its DIMSE status. The report comes on an association of the PACS's own."""
        entity = AE(ae_title=self.aet)
        entity.add_requested_context(StorageCommitmentPushModel)
        association = entity.associate("127.0.0.1", port, ae_title=called)
        assert association.is_established, "the PACS does not take a request for storage commitment"
        try:
            status, _ = association.send_n_action(data_set, _REQUEST, StorageCommitmentPushModel, _INSTANCE)
            return int(status.Status)
        finally:
            association.release()

    def close(self) -> None:
        self._server.shutdown()


@contextlib.contextmanager
def workstation(aet: str) -> Iterator[Workstation]:
    """A workstation while the body runs."""
    with contextlib.closing(Workstation(aet)) as station:
        yield station
