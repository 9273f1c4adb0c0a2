"""Radiographs in JPEG, PNG or DICOM as 8-bit grey images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.io import raster
from medbench.io.gate.admission import entrance
from medbench.io.gate.dicom import damage, read_data_set
from medbench.io.gate.refusal import Reject

DICOM_SUFFIXES = (".dcm", ".dicom")
SUFFIXES = (".jpg", ".jpeg", ".png", *DICOM_SUFFIXES)


def read_radiograph(path: Path, *, root: Path | None = None) -> npt.NDArray[np.uint8]:
    """A radiograph, ``(height, width)``, 8 bit, larger is brighter.

    DICOM: the file's rescaling and window are applied, or its own range where it has no window;
    MONOCHROME1 is inverted.

    Args:
        path: the file.
        root: the folder that it may not leave; its own if not given.

    Raises:
        MedbenchError: what the gate refuses, for DICOM also as :func:`medbench.io.gate.dicom.read_data_set`
            and ``data.not_finite``; or ``data.picture_format``.
    """
    if path.suffix.lower() in DICOM_SUFFIXES:
        return _dicom(path, root)
    image = raster.read_image(path, root=root)
    if image.ndim == 3:
        import cv2

        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if image.dtype != np.uint8:
        raise MedbenchError(
            "data.picture_format",
            f"{path}: holds {image.dtype} values; radiographs here are 8-bit images or DICOM.",
            "Copy the file again from its source.",
        )
    return image


def stored_values(path: Path) -> npt.NDArray[Any]:
    """Values of a DICOM file's image as they are stored, ``(height, width)``, without window and rescaling.

    Raises:
        MedbenchError: what the gate refuses, and as :func:`medbench.io.gate.dicom.read_data_set`.
    """
    with entrance(path, "dicom") as file:
        return read_data_set(file)[1]


def square(image: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """The image with its long side of ``side`` pixels, in the middle of a black square.

    Args:
        image: ``(height, width)``.
        side: in pixels.
    """
    import cv2

    height, width = image.shape
    factor = side / max(height, width)
    rows, columns = (side if n == max(height, width) else int(n * factor) for n in (height, width))
    small = cv2.resize(image, (max(columns, 1), max(rows, 1)), interpolation=cv2.INTER_AREA)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    canvas = np.zeros((side, side), np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def _dicom(path: Path, root: Path | None) -> npt.NDArray[np.uint8]:
    with entrance(path, "dicom", root=root) as file:
        data_set, values = read_data_set(file)
        with damage("its window or rescaling cannot be applied"):
            return _eight_bit(data_set, values)


def _eight_bit(dataset: Any, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    with np.errstate(over="ignore", invalid="ignore"):
        intensities = np.asarray(apply_voi_lut(apply_modality_lut(values, dataset), dataset), np.float64)
    low, high = intensities.min(), intensities.max()
    if not np.isfinite((low, high)).all():
        raise Reject("data.not_finite", "holds values that are not finite once rescaled")
    has_window = "WindowCenter" in dataset and "VOILUTSequence" not in dataset
    if has_window and "RescaleSlope" not in dataset:
        low, high = min(low, 0.0), max(high, float(2 ** int(dataset.BitsStored) - 1))
    grey = (intensities - low) * (255 / (high - low)) if high > low else np.zeros_like(intensities)
    if str(dataset.PhotometricInterpretation) == "MONOCHROME1":
        grey = 255 - grey
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
