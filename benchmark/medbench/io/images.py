"""Reading of any image or volume by the suffix of its file."""

from __future__ import annotations

from pathlib import Path

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io import nifti_mha, raster
from medbench.io.gate import admission
from medbench.io.gate.admission import entrance
from medbench.io.gate.arrays import decode_npy, parse_npy
from medbench.io.gate.expected import Expected
from medbench.io.gate.meaning import check_finite, whole_labels

VOLUME_SUFFIXES = (*nifti_mha.SUFFIXES, ".img", ".mgz", ".mgh")
SUFFIXES = (*VOLUME_SUFFIXES, *raster.SUFFIXES, ".npy")


def suffix_of(path: Path) -> str:
    """The file type's suffix in lower case, ``.nii.gz`` as one."""
    return admission.suffix_of(path.name)


def read_volume(path: Path, *, root: Path | None = None, expected: Expected | None = None) -> Volume:
    """A NIfTI, MHA, NRRD, FreeSurfer, PNG, JPEG, TIFF or NPY file as a volume, with the geometry of the file.

    Args:
        path: the file.
        root: the folder that it may not leave; its own if not given.
        expected: whose file it is, and what it may take.

    Raises:
        MedbenchError: what the gate refuses, and ``file.type_unknown``.
    """
    suffix = suffix_of(path)
    if suffix in VOLUME_SUFFIXES:
        return nifti_mha.read_volume(path, root=root, expected=expected)
    if suffix in raster.SUFFIXES:
        return Volume(raster.read_image(path, root=root, expected=expected))
    if suffix == ".npy":
        with entrance(path, "array", root=root, expected=expected) as file:
            array = decode_npy(file.content)
            check_finite(array)
            return Volume(array)
    raise _unknown_type(path)


def _unknown_type(path: Path) -> MedbenchError:
    return MedbenchError(
        "file.type_unknown",
        f"{path}: '{suffix_of(path)}' is no image type known here.",
        f"Known: {', '.join(SUFFIXES)}.",
    )


def read_shape(path: Path, *, root: Path | None = None, expected: Expected | None = None) -> tuple[int, ...]:
    """Shape of an image, ``(height, width)``, or of a volume, ``(z, y, x)``, by the header of its file.

    Raises:
        MedbenchError: what the gate refuses of a header, and ``file.type_unknown``.
    """
    suffix = suffix_of(path)
    if suffix in raster.SUFFIXES:
        return raster.read_size(path, root=root, expected=expected)
    if suffix in VOLUME_SUFFIXES:
        return nifti_mha.read_geometry(path, root=root, expected=expected).shape
    if suffix == ".npy":
        with entrance(path, "array", root=root, expected=expected) as file:
            return parse_npy(file.content)[0]
    raise _unknown_type(path)


def read_labels(path: Path, *, root: Path | None = None, expected: Expected | None = None) -> Volume:
    """A label map as a volume of whole numbers within int32; colour images are refused.

    Raises:
        MedbenchError: as :func:`read_volume`, and ``data.not_a_label_map``.
    """
    suffix = suffix_of(path)
    if suffix in raster.SUFFIXES:
        return Volume(raster.read_label_map(path, root=root, expected=expected))
    if suffix in VOLUME_SUFFIXES:
        return nifti_mha.read_labels(path, root=root, expected=expected)
    if suffix == ".npy":
        with entrance(path, "array", root=root, expected=expected) as file:
            return Volume(whole_labels(decode_npy(file.content)))
    raise _unknown_type(path)


def resample_labels(
    path: Path, like: Path, *, root: Path | None = None, expected: Expected | None = None
) -> Volume:
    """A label map on the grid of another file, by nearest neighbour in physical space.

    Args:
        path: the label map.
        like: a volume with the grid.
        root: the folder that the label map may not leave; its own if not given.
        expected: whose label map it is, and what it may take.

    Raises:
        MedbenchError: as :func:`read_labels`, and ``data.no_geometry`` when a file has no geometry.
    """
    for file in (path, like):
        if suffix_of(file) not in VOLUME_SUFFIXES:
            raise MedbenchError(
                "data.no_geometry",
                f"{file}: has no geometry to resample by.",
                "Use NIfTI, MHA or NRRD files.",
            )
    return nifti_mha.resample_labels(path, like, root=root, expected=expected)
