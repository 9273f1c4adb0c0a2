"""Any image file by its suffix."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io import nifti_mha, raster

SUFFIXES = (*nifti_mha.SUFFIXES, *raster.SUFFIXES, ".npy")


def suffix_of(path: Path) -> str:
    """The file type's suffix in lower case, ``.nii.gz`` as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def read_volume(path: Path) -> Volume:
    """Read a NIfTI, MHA, NRRD, PNG, JPEG, TIFF or NPY file with whatever geometry it has.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt`` or ``file.type_unknown``.
    """
    suffix = suffix_of(path)
    if suffix in nifti_mha.SUFFIXES:
        return nifti_mha.read_volume(path)
    if suffix in raster.SUFFIXES:
        return Volume(raster.read_picture(path))
    if suffix == ".npy":
        try:
            return Volume(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise MedbenchError(
                "file.corrupt", f"{path}: not a readable array ({error}).", "Save it with numpy.save."
            ) from error
    raise MedbenchError(
        "file.type_unknown",
        f"{path}: '{suffix}' is no image type known here.",
        f"Known: {', '.join(SUFFIXES)}.",
    )


def read_labels(path: Path) -> Volume:
    """Like :func:`read_volume`, for integer label maps: colour pictures are refused.

    Raises:
        MedbenchError: as :func:`read_volume`, and ``data.not_a_label_map``.
    """
    if suffix_of(path) in raster.SUFFIXES:
        return Volume(raster.read_label_map(path))
    volume = read_volume(path)
    array = volume.array
    if not (np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_):
        whole = np.rint(array)
        if not np.array_equal(whole, array):
            raise MedbenchError(
                "data.not_a_label_map",
                f"{path}: holds fractional {array.dtype} values, not labels.",
                "Threshold or argmax the probabilities before scoring.",
            )
        return Volume(whole.astype(np.int32), volume.spacing, volume.origin, volume.direction)
    return volume


def resample_labels(path: Path, like: Path) -> Volume:
    """A label map on the grid of another file, by nearest neighbour in physical space.

    Raises:
        MedbenchError: as :func:`read_labels`, and ``data.no_geometry`` when a file has no geometry.
    """
    for file in (path, like):
        if suffix_of(file) not in nifti_mha.SUFFIXES:
            raise MedbenchError(
                "data.no_geometry",
                f"{file}: has no geometry to resample by.",
                "Use NIfTI, MHA or NRRD files.",
            )
    return nifti_mha.resample_labels(path, like)
