"""Named arrays in HDF5 (``.h5``) and NumPy (``.npz``) files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path
from medbench.io.gate import source
from medbench.io.gate.admission import Admitted, entrance, unreadable
from medbench.io.gate.arrays import npz_shapes, read_npz
from medbench.io.gate.expected import Expected
from medbench.io.gate.hdf5_arrays import dataset_shapes, read_datasets
from medbench.io.gate.meaning import whole_labels
from medbench.io.gate.refusal import Reject, refusal_of

SUFFIXES = (".h5", ".hdf5", ".npz")


def read_arrays(
    path: Path, *names: str, root: Path | None = None, expected: Expected | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of a file; nothing in it is executed, and no other file is followed.

    Args:
        path: the file.
        names: of the arrays.
        root: folder that the file must lie in; the file's own if ``None``.
        expected: role and memory limit of the file.

    Raises:
        MedbenchError: refusals of the gate, ``file.type_unknown``, or ``data.array_missing`` naming the
            arrays of the file.
    """
    _known_suffix(path)
    with entrance(path, "arrays", root=root, expected=expected) as file:
        return _named(path, names, file)


def read_labels(
    path: Path, name: str, *, root: Path | None = None, expected: Expected | None = None
) -> npt.NDArray[Any]:
    """The named array of a file as labels: whole numbers within int32.

    Args:
        path: the file.
        name: of the array.
        root: folder that the file must lie in; the file's own if ``None``.
        expected: role and memory limit of the file.

    Raises:
        MedbenchError: as :func:`read_arrays`, ``data.not_finite`` and ``data.not_a_label_map``.
    """
    with entrance(path, "arrays", root=root, expected=expected) as file:
        return whole_labels(_named(path, (name,), file)[name])


def _named(path: Path, names: tuple[str, ...], file: Admitted) -> dict[str, npt.NDArray[Any]]:
    read = read_npz if _known_suffix(path) == ".npz" else read_datasets
    arrays, there = read(file.content, names, file.budget_bytes)
    _check_names(path, names, there)
    return {name: arrays[name] for name in names}


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name of each array of a file -> its shape, by the headers in the file alone.

    Raises:
        MedbenchError: refusals of the gate, or ``file.type_unknown``.
    """
    suffix = _known_suffix(path)
    try:
        with source.opened(path, path.parent, "release") as stream:
            return (npz_shapes if suffix == ".npz" else dataset_shapes)(stream)
    except Reject as reject:
        raise refusal_of(reject, path.name, unreadable(path, "arrays")).error(path.parent) from reject


def _known_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise MedbenchError(
            "file.type_unknown",
            f"{path}: '{suffix}' holds no named arrays.",
            f"Known: {', '.join(SUFFIXES)}.",
        )
    return suffix


def _check_names(path: Path, names: tuple[str, ...], there: list[str]) -> None:
    for name in names:
        if name not in there:
            raise MedbenchError(
                "data.array_missing",
                f"{path}: has no array '{name}', only {', '.join(there) or 'none'}.",
                "Use the file as released.",
            )


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write named arrays, compressed, atomically, in the format of the suffix."""
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".npz":
            with open(temporary, "wb") as stream:
                np.savez_compressed(stream, allow_pickle=False, **dict(arrays))
        else:
            import h5py

            with h5py.File(temporary, "w") as file:
                for name, array in arrays.items():
                    file.create_dataset(name, data=array, compression="gzip", compression_opts=4)
