"""A synthetic CT image: a disc of water with a piece of bone, in air."""

import array
import datetime
from pathlib import Path

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

_SIZE = 256
_AIR, _WATER, _BONE = -1000, 0, 900  # Hounsfield units


def write_ct(path: Path) -> str:
    """Write the image and return its SOP instance UID, which is new each time."""
    now = datetime.datetime.now()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    image.PatientName, image.PatientID = "DEMO^PHANTOM", "DEMO-1"
    image.PatientBirthDate = image.PatientSex = ""
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.FrameOfReferenceUID = generate_uid()
    image.StudyDate, image.StudyTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    image.StudyID, image.StudyDescription = "1", "dicomgate demo"
    image.AccessionNumber = image.ReferringPhysicianName = image.PositionReferenceIndicator = ""
    image.Modality, image.Manufacturer = "CT", "dicomgate demo"
    image.SeriesNumber = image.InstanceNumber = 1
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [1, 1], 1
    image.KVP = None
    image.RescaleIntercept, image.RescaleSlope = 0, 1
    image.WindowCenter, image.WindowWidth = 40, 400
    image.Rows = image.Columns = _SIZE
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 1
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelData = _pixels()
    image["PixelData"].VR = "OW"
    image.save_as(path, enforce_file_format=True)
    return str(image.SOPInstanceUID)


def _pixels() -> bytes:
    middle = _SIZE // 2

    def unit(x: int, y: int) -> int:
        if (x - middle) ** 2 + (y - middle) ** 2 > 100**2:
            return _AIR
        return _BONE if (x - middle) ** 2 + (y - middle - 50) ** 2 < 20**2 else _WATER

    return array.array("h", (unit(x, y) for y in range(_SIZE) for x in range(_SIZE))).tobytes()
