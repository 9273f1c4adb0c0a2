"""Reading of NIfTI, MetaImage and NRRD volumes, with geometry in the order of the array's axes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io import volume_writing
from medbench.io.gate.admission import entrance
from medbench.io.gate.decode import decode_volume, geometry
from medbench.io.gate.expected import Expected

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


def resample_labels(path: Path, like: Path) -> Volume:
    """The label map at ``path`` on the grid of ``like``, by nearest neighbour; outside is 0.

    Raises:
        MedbenchError: as :func:`read_volume`, ``data.no_geometry`` when a file states none, or
            ``package.missing`` without SimpleITK.
    """
    sitk = _simpleitk()
    images = [_as_image(sitk, read_volume(file), file) for file in (path, like)]
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
