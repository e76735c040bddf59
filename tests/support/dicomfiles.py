"""CT images for tests: real files with UIDs of their own, made in milliseconds."""

import hashlib
import io
import itertools
import os
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

_ROOT = f"1.2.826.0.1.3680043.10.1337.{os.getpid()}"
_numbers = itertools.count(1)
_PREAMBLE = 132


def write_ct(path: Path, size: int = 512 * 1024, *, patient: str = "TEST^GATE") -> str:
    """Write a CT image whose pixel data has `size` bytes; its SOP instance UID."""
    number = next(_numbers)
    uid = f"{_ROOT}.{number}"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = "1.2.826.0.1.3680043.10.1337"
    image = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, uid
    image.StudyInstanceUID, image.SeriesInstanceUID = f"{_ROOT}.0.1", f"{_ROOT}.0.2"
    image.PatientID, image.PatientName, image.Modality = "4711", patient, "CT"
    image.StudyDate, image.StudyTime, image.AccessionNumber, image.StudyID = "20200101", "120000", "", "1"
    image.SeriesNumber, image.InstanceNumber = 1, number
    image.Columns = 512
    image.Rows = max(1, size // 1024)
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    block = hashlib.sha256(uid.encode()).digest()
    image.PixelData = (block * (size // len(block) + 1))[:size]
    image["PixelData"].VR = "OW"
    image.save_as(path, enforce_file_format=True)
    return uid


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
    """SOP instance UID and the bytes of the data set, behind the file meta information, which receivers rewrite."""
    assert file[128:_PREAMBLE] == b"DICM"
    meta = pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True).file_meta
    length = 12 + int(meta.FileMetaInformationGroupLength)  # the group length element itself has 12 bytes
    return str(meta.MediaStorageSOPInstanceUID), file[_PREAMBLE + length :]
