"""A study arrives whole: the images and what the vendors' consoles keep beside them in classes of their own."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pynetdicom.presentation import build_context

from tests.support import scu
from tests.support.client import client_context
from tests.support.dicomfiles import data_set_of, write_ct, write_private
from tests.support.gateway import Gateway
from tests.support.orthanc import orthanc
from tests.support.site import HOST, Site, port_of

pytestmark = pytest.mark.peers

PRIVATE = {
    "1.3.12.2.1107.5.9.1": "SIEMENS CSA NON-IMAGE",
    "1.3.46.670589.11.0.0.12.1": "Philips MR Imaging DD 001",  # MR spectrum
    "1.3.46.670589.11.0.0.12.2": "Philips MR Imaging DD 001",  # MR series data
    "1.3.46.670589.11.0.0.12.4": "Philips MR Imaging DD 001",  # MR examcard
}


def write_study(folder: Path) -> list[Path]:
    folder.mkdir()
    write_ct(folder / "image.dcm", 64 * 1024)
    for number, (sop_class, creator) in enumerate(PRIVATE.items()):
        write_private(folder / f"{number}.dcm", sop_class, creator, bytes(range(256)) * 400 * (number + 1))
    return sorted(folder.iterdir())


@pytest.mark.parametrize(("allow", "arrives"), [("modality", True), ("store_standard", False)])
def test_private_instances_arrive_where_store_is_allowed(
    allow: str, arrives: bool, site: Site, start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    files = write_study(tmp_path / "study")
    images = [pydicom.dcmread(file) for file in files]
    contexts = [build_context(image.SOPClassUID, image.file_meta.TransferSyntaxUID) for image in images]
    with orthanc(tmp_path / "orthanc", UnknownSopClassAccepted=True) as pacs:
        gateway = start_gateway(site.one_tenant(pacs.port, peers=[{"aet": "MR1", "allow": [allow]}]))
        tls = (client_context(site.path("ca.pem")), HOST)
        with scu.association(port_of(gateway.config), contexts, tls, calling="MR1") as association:
            accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
            assert PRIVATE.keys() <= accepted if arrives else PRIVATE.keys().isdisjoint(accepted)
            sent = {}
            for file, image in zip(files, images, strict=True):
                if image.SOPClassUID in accepted:
                    assert association.send_c_store(file).Status == 0
                    uid, data_set = data_set_of(file.read_bytes())
                    sent[uid] = hashlib.sha256(data_set).hexdigest()
        assert len(sent) == (len(files) if arrives else 1)
        assert pacs.sha256_by_uid(data_set_of) == sent
    record = gateway.wait_for_record()
    assert record["dimse"]["C-STORE"].pop("seconds") > 0
    assert record["dimse"]["C-STORE"] == {"n": len(sent), "ok": len(sent), "warn": 0, "fail": 0, "refused": 0}
    assert {item["abstract_syntax"] for item in record["contexts"]["refused"]} == (set() if arrives else PRIVATE.keys())
    stored = {"tenant": "hospital", "status_class": "success"}
    assert gateway.metric("instances_stored_total", sop_class="ct", **stored) == 1
    assert gateway.metric("instances_stored_total", sop_class="other", **stored) == (len(PRIVATE) if arrives else 0)
