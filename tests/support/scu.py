"""pynetdicom as a requestor with SNI, which DCMTK 3.6.7 cannot send."""

import ssl
from pathlib import Path

import pydicom
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, Verification


def store(
    port: int, file: Path, context: ssl.SSLContext, server_name: str, *, called: str, calling: str = "CT1"
) -> int | None:
    """C-STORE of a file: the DIMSE status, or None where the association was not established."""
    image = pydicom.dcmread(file)
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    entity.add_requested_context(Verification)
    entity.add_requested_context(CTImageStorage, image.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title=called, tls_args=(context, server_name))
    if not association.is_established:
        return None
    try:
        return int(association.send_c_store(image).Status)
    finally:
        association.release()
