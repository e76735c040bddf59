"""Instances for tests: real files with UIDs of their own, made in milliseconds."""

import hashlib
import io
import itertools
import os
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

_ROOT = f"1.2.826.0.1.3680043.10.1337.{os.getpid()}"
#: The study that all of them belong to.
STUDY = f"{_ROOT}.0.1"
_numbers = itertools.count(1)
_PREAMBLE = 132


def write_ct(path: Path, size: int = 512 * 1024, *, patient: str = "TEST^GATE") -> str:
    """Write a CT image whose pixel data has `size` bytes; its SOP instance UID."""
    image = _instance(CTImageStorage, "CT", patient)
    uid = image.SOPInstanceUID
    image.Columns = 512
    image.Rows = max(1, size // 1024)
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    block = hashlib.sha256(uid.encode()).digest()
    image.PixelData = (block * (size // len(block) + 1))[:size]
    image["PixelData"].VR = "OW"
    image.save_as(path, enforce_file_format=True)
    return uid


def write_private(path: Path, sop_class: str, creator: str, data: bytes, *, patient: str = "TEST^GATE") -> str:
    """Write an MR instance of a vendor's own class, with `data` in a private element; its SOP instance UID."""
    instance = _instance(sop_class, "MR", patient)
    block = instance.private_block(0x0029, creator, create=True)
    block.add_new(0x10, "OB", data + b"\0" * (len(data) % 2))
    instance.save_as(path, enforce_file_format=True)
    return str(instance.SOPInstanceUID)


def _instance(sop_class: str, modality: str, patient: str) -> Dataset:
    """An instance of the one study of all tests, Explicit VR Little Endian, without content."""
    number = next(_numbers)
    uid = f"{_ROOT}.{number}"
    instance = Dataset()
    instance.file_meta = meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = "1.2.826.0.1.3680043.10.1337"
    instance.SOPClassUID, instance.SOPInstanceUID = sop_class, uid
    instance.StudyInstanceUID, instance.SeriesInstanceUID = STUDY, f"{_ROOT}.0.2.{modality == 'MR':d}"
    instance.PatientID, instance.PatientName, instance.Modality = "4711", patient, modality
    instance.StudyDate, instance.StudyTime, instance.AccessionNumber, instance.StudyID = "20200101", "120000", "", "1"
    instance.SeriesNumber, instance.InstanceNumber = 1, number
    return instance


def write_series(folder: Path, count: int, size: int = 512 * 1024) -> dict[str, str]:
    """`count` CT images in a folder; SOP instance UID -> SHA-256 of the data set."""
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    for number in range(count):
        path = folder / f"{number:04}.dcm"
        uid = write_ct(path, size)
        digests[uid] = hashlib.sha256(data_set_of(path.read_bytes())[1]).hexdigest()
    return digests


def data_set_of(file: bytes) -> tuple[str, bytes]:
    """SOP instance UID and the bytes of the data set, without the file meta information: receivers rewrite that."""
    assert file[128:_PREAMBLE] == b"DICM"
    meta = pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True).file_meta
    length = 12 + int(meta.FileMetaInformationGroupLength)  # the group length element itself has 12 bytes
    return str(meta.MediaStorageSOPInstanceUID), file[_PREAMBLE + length :]
