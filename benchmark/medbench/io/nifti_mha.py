"""Reading of NIfTI, MetaImage and NRRD volumes, with geometry in the order of the array's axes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io import volume_writing
from medbench.io.gate.admission import entrance
from medbench.io.gate.decode import decode_volume, geometry, label_step
from medbench.io.gate.expected import Expected
from medbench.io.gate.meaning import whole_labels
from medbench.io.geometry import check_geometry

if TYPE_CHECKING:
    import SimpleITK

SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")


def read_volume(path: Path, *, root: Path | None = None, expected: Expected | None = None) -> Volume:
    """A volume ``(z, y, x)`` (or ``(y, x)``) with spacing and origin in mm in the same order.

    Spacing, origin and direction are those of the file, ``None`` where the file has none.

    Args:
        path: the file.
        root: the folder that it may not leave; its own if not given.
        expected: whose file it is, and what it may take.

    Raises:
        MedbenchError: what the gate refuses (``file.*``), ``data.axes``, ``data.not_real`` or
            ``data.not_finite``.
    """
    with entrance(path, "volume", root=root, expected=expected) as file:
        return decode_volume(file)


def read_geometry(path: Path, *, root: Path | None = None, expected: Expected | None = None) -> Volume:
    """Spacing, origin and direction as :func:`read_volume` gives them, with an array that holds no memory.

    Raises:
        MedbenchError: as :func:`read_volume`.
    """
    with entrance(path, "volume", root=root, expected=expected) as file:
        return geometry(file)


def read_labels(path: Path, *, root: Path | None = None, expected: Expected | None = None) -> Volume:
    """A label map as :func:`read_volume` reads it, of whole numbers within int32.

    Raises:
        MedbenchError: as :func:`read_volume`, and ``data.not_a_label_map``.
    """
    with entrance(path, "volume", root=root, expected=expected) as file:
        volume = decode_volume(file)
        labels = whole_labels(volume.array, label_step(file))
    return Volume(labels, volume.spacing, volume.origin, volume.direction)


def resample_labels(
    path: Path, like: Path, *, root: Path | None = None, expected: Expected | None = None
) -> Volume:
    """The label map at ``path`` on the grid of ``like``, by nearest neighbour; outside is 0.

    A label map that lies on that grid stays as it is, also where the axes are not at right angles.

    Args:
        path: the label map.
        like: a volume with the grid.
        root: the folder that the label map may not leave; its own if not given.
        expected: whose label map it is, and what it may take.

    Raises:
        MedbenchError: as :func:`read_labels`, ``data.no_geometry`` when a file states none, or
            ``package.missing`` without SimpleITK.
    """
    sitk = _simpleitk()
    labels, grid = read_labels(path, root=root, expected=expected), read_geometry(like)
    if labels.spacing is not None and grid.spacing is not None:
        with contextlib.suppress(MedbenchError):
            check_geometry(grid, labels, path.name)
            return labels
    images = [_as_image(sitk, volume, file) for volume, file in ((labels, path), (grid, like))]
    image = sitk.Resample(*images, sitk.Transform(), sitk.sitkNearestNeighbor)
    return Volume(
        sitk.GetArrayFromImage(image),
        spacing=tuple(reversed(image.GetSpacing())),
        origin=tuple(reversed(image.GetOrigin())),
        direction=tuple(image.GetDirection()),
    )


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume with its geometry, compressed, atomically, in the format of the suffix.

    Raises:
        MedbenchError: ``file.unwritable`` for another suffix, or values that the format cannot hold.
    """
    volume_writing.write_volume(path, volume)


def _simpleitk() -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        raise MedbenchError(
            "package.missing",
            "Resampling needs the package SimpleITK, which is not installed.",
            "Install it: pip install 'medbench[resampling]'.",
        ) from error
    return SimpleITK


def _as_image(sitk: Any, volume: Volume, path: Path) -> SimpleITK.Image:
    if volume.spacing is None:
        raise MedbenchError(
            "data.no_geometry", f"{path}: states no voxel size to resample by.", "Write it with its spacing."
        )
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(tuple(reversed(volume.spacing)))
    if volume.origin is not None:
        image.SetOrigin(tuple(reversed(volume.origin)))
    if volume.direction is not None:
        try:
            image.SetDirection(volume.direction)
        except RuntimeError as error:
            raise MedbenchError(
                "data.geometry",
                f"{path}: its axes are not at right angles, so it cannot be resampled.",
                "Resample it onto an ordinary grid first.",
            ) from error
    return image
