"""The operation and group of each SOP class of PS3.6, and the keywords that stand for UIDs."""

from pathlib import Path

import pytest

from proxy.config.dictionary import SOP_CLASS, TRANSFER_SYNTAX, keyword_of, sop_classes, uid_of
from proxy.dimse.services import SOP_CLASS_GROUPS, Operation, SopClass
from tests.support.configs import PLAIN, load_text


@pytest.mark.parametrize(
    ("keyword", "operation", "group"),
    [
        ("Verification", "echo", "other"),
        ("CTImageStorage", "store_standard", "ct"),
        ("LegacyConvertedEnhancedMRImageStorage", "store_standard", "mr"),
        ("MRSpectroscopyStorage", "store_standard", "mr"),
        ("UltrasoundMultiFrameImageStorageRetired", "store_standard", "us"),
        ("DigitalXRayImageStorageForPresentation", "store_standard", "cr_dx"),
        ("ComputedRadiographyImageStorage", "store_standard", "cr_dx"),
        ("DigitalMammographyXRayImageStorageForPresentation", "store_standard", "mg"),
        ("BreastTomosynthesisImageStorage", "store_standard", "mg"),
        ("PositronEmissionTomographyImageStorage", "store_standard", "nm_pt"),
        ("NuclearMedicineImageStorage", "store_standard", "nm_pt"),
        ("XRayAngiographicImageStorage", "store_standard", "xa"),
        ("EnhancedXRFImageStorage", "store_standard", "xa"),
        ("RTPlanStorage", "store_standard", "rt"),
        ("TomotherapeuticRadiationStorage", "store_standard", "rt"),
        ("RTBeamsDeliveryInstructionStorage", "store_standard", "rt"),
        ("XRayRadiationDoseSRStorage", "store_standard", "sr"),
        ("MammographyCADSRStorage", "store_standard", "sr"),
        ("KeyObjectSelectionDocumentStorage", "store_standard", "sr"),
        ("XAXRFGrayscaleSoftcopyPresentationStateStorage", "store_standard", "ps"),
        ("SegmentationStorage", "store_standard", "seg"),
        ("VideoEndoscopicImageStorage", "store_standard", "video"),
        ("EncapsulatedPDFStorage", "store_standard", "document"),
        ("MultiFrameTrueColorSecondaryCaptureImageStorage", "store_standard", "sc"),
        ("RawDataStorage", "store_standard", "other"),
        ("HangingProtocolStorage", "store_standard", "other"),
        ("HardcopyGrayscaleImageStorage", "store_standard", "other"),
        ("PatientRootQueryRetrieveInformationModelFind", "find", "other"),
        ("InventoryFind", "find", "other"),
        ("GeneralRelevantPatientInformationQuery", "find", "other"),
        ("ModalityWorklistInformationModelFind", "worklist", "other"),
        ("StudyRootQueryRetrieveInformationModelMove", "move", "other"),
        ("CompositeInstanceRetrieveWithoutBulkDataGet", "get", "other"),
        ("StorageCommitmentPushModel", "storage_commitment", "other"),
        ("ModalityPerformedProcedureStepNotification", "mpps", "other"),
        ("UnifiedProcedureStepPush", "ups", "other"),
        ("UnifiedProcedureStepQuery", "ups", "other"),
        ("BasicGrayscalePrintManagementMeta", "print", "other"),
        ("PrinterConfigurationRetrieval", "print", "other"),
        ("MediaCreationManagement", "other", "other"),
        ("InstanceAvailabilityNotification", "other", "other"),
        ("RTConventionalMachineVerification", "other", "other"),
        ("InventoryCreation", "other", "other"),
    ],
)
def test_a_sop_class_belongs_to_an_operation_and_a_group(keyword: str, operation: str, group: str) -> None:
    assert sop_classes()[uid_of(keyword, SOP_CLASS)] == SopClass(Operation(operation), group)


def test_every_storage_class_of_the_standard_is_one() -> None:
    """PS3.4 annex B.5: all below 1.2.840.10008.5.1.4.1.1, except the services that share the root (200 and 201)."""
    root = "1.2.840.10008.5.1.4.1.1."
    others = {
        uid: item.operation
        for uid, item in sop_classes().items()
        if uid.startswith(root) and "store" not in item.operation
    }
    assert others == {
        f"{root}200.4": "find", f"{root}200.5": "move", f"{root}200.6": "get",
        f"{root}201.2": "find", f"{root}201.3": "move", f"{root}201.4": "get", f"{root}201.5": "other",
        f"{root}201.6": "find",
    }  # fmt: skip
    assert {item.group for item in sop_classes().values()} == set(SOP_CLASS_GROUPS)
    assert Operation.STORE not in {item.operation for item in sop_classes().values()}


def test_keywords_and_uids_stand_for_each_other() -> None:
    assert uid_of("CTImageStorage", SOP_CLASS) == uid_of("1.2.840.10008.5.1.4.1.1.2", SOP_CLASS)
    assert uid_of("ImplicitVRLittleEndian", TRANSFER_SYNTAX) == "1.2.840.10008.1.2"
    assert keyword_of("1.2.840.10008.1.1") == "Verification"
    assert keyword_of("1.3.12.2.1107.5.9.1") == ""


def test_a_peer_holds_uids_and_operations_and_every_tenant_the_same_table(tmp_path: Path) -> None:
    text = PLAIN.replace(
        "allow: [all]",
        "allow: [modality, get], sop_classes: [CTImageStorage, 1.3.12.2.1107.5.9.1], "
        "transfer_syntaxes: [ImplicitVRLittleEndian, JPEGLosslessSV1]",
    ).replace("upstreams:", "  x: {called_aets: [X], upstream: pacs, peers: [{aet: A, allow: [all]}]}\nupstreams:", 1)
    config = load_text(tmp_path, text).config
    assert config is not None
    peer = config.tenants["hospital"].peers[0]
    assert peer.allow == {"echo", "store", "worklist", "mpps", "storage_commitment", "get"}
    assert peer.sop_classes == {"1.2.840.10008.5.1.4.1.1.2", "1.3.12.2.1107.5.9.1"}
    assert peer.transfer_syntaxes == {"1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70"}
    table = config.tenants["hospital"].sop_class_table
    assert table is config.tenants["x"].sop_class_table
    assert len(table) > 300
