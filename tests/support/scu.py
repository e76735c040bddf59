"""pynetdicom as a requestor: it sends SNI, which DCMTK cannot, and offers more control than other tools."""

import contextlib
import ssl
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pydicom
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import CTImageStorage, Verification


@contextlib.contextmanager
def association(
    port: int,
    contexts: Iterable[PresentationContext],
    tls: tuple[ssl.SSLContext, str] | None,
    *,
    called: str = "MAINPACS",
    calling: str = "CT1",
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Iterator[Association]:
    """An association, established or not; released at the end. `tls`: context and server name."""
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    entity.requested_contexts = list(contexts)
    made = entity.associate("127.0.0.1", port, ae_title=called, tls_args=tls, ext_neg=list(roles))
    try:
        yield made
    finally:
        if made.is_established:
            made.release()


def store(
    port: int, file: Path, context: ssl.SSLContext, server_name: str, *, called: str, calling: str = "CT1"
) -> int | None:
    """C-STORE of a file: the DIMSE status, or None where the association was not established."""
    image = pydicom.dcmread(file)
    contexts = [build_context(Verification), build_context(CTImageStorage, image.file_meta.TransferSyntaxUID)]
    with association(port, contexts, (context, server_name), called=called, calling=calling) as made:
        return int(made.send_c_store(image).Status) if made.is_established else None
