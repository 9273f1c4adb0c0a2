"""Files of drawn radiographs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.core.files import atomic_path

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def write_dicom(path: Path, pixels: npt.NDArray[np.uint8], uid: str, *, monochrome1: bool = False) -> None:
    """Write a radiograph as an uncompressed DICOM file, the same bytes each time.

    Args:
        path: the file.
        pixels: ``(height, width)``, larger is brighter.
        uid: of the image; the patient is called the same.
        monochrome1: store larger values for darker pixels, as MONOCHROME1.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(SECONDARY_CAPTURE)
    meta.MediaStorageSOPInstanceUID = UID(uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    data = FileDataset(stream, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.PatientID = SECONDARY_CAPTURE, uid, uid
    data.Modality, data.ViewPosition = "CR", "PA"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    data.PixelData = (255 - pixels if monochrome1 else pixels).tobytes()
    data.save_as(stream, enforce_file_format=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(stream.getvalue())
