"""Named arrays in HDF5 (``.h5``) and NumPy (``.npz``) files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path

SUFFIXES = (".h5", ".hdf5", ".npz")


def read_arrays(path: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of a file; nothing in it is executed.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt``, ``file.type_unknown``, or ``data.array_missing``
            naming the arrays that are there.
    """
    if not path.is_file():
        raise MedbenchError("file.unreadable", f"{path}: there is no such file.", "Check the path.")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise MedbenchError(
            "file.type_unknown",
            f"{path}: '{suffix}' holds no named arrays.",
            f"Known: {', '.join(SUFFIXES)}.",
        )
    try:
        return _read_npz(path, names) if suffix == ".npz" else _read_h5(path, names)
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MedbenchError(
            "file.corrupt",
            f"{path}: not a readable {suffix} file ({reason}).",
            "Copy it again from its source.",
        ) from error


def _read_npz(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        _check_names(path, names, list(file.files))
        return {name: file[name] for name in names}


def _read_h5(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    import h5py

    with h5py.File(path, "r") as file:
        _check_names(path, names, [name for name in file if isinstance(file[name], h5py.Dataset)])
        return {name: np.asarray(file[name]) for name in names}


def _check_names(path: Path, names: tuple[str, ...], there: list[str]) -> None:
    for name in names:
        if name not in there:
            raise MedbenchError(
                "data.array_missing",
                f"{path}: has no array '{name}', only {', '.join(there) or 'none'}.",
                "Use the file as released.",
            )


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write named arrays, compressed, atomically; the suffix picks the format."""
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".npz":
            with open(temporary, "wb") as stream:
                np.savez_compressed(stream, allow_pickle=False, **dict(arrays))
        else:
            import h5py

            with h5py.File(temporary, "w") as file:
                for name, array in arrays.items():
                    file.create_dataset(name, data=array, compression="gzip", compression_opts=4)
