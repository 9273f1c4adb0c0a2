"""Named arrays in the groups of an HDF5 file, whose values lie in the file itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path
from medbench.core.text import first_line
from medbench.io.gate import source
from medbench.io.gate.expected import check_budget, memory_limit_bytes
from medbench.io.gate.hdf5_arrays import check_filters
from medbench.io.gate.refusal import Reject, refusal_of

if TYPE_CHECKING:
    import h5py

MOST_AXES = 4


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to read from.

    Raises:
        MedbenchError: what the gate refuses, or ``file.corrupt`` for whatever the HDF5 library cannot read.
    """
    import h5py

    try:
        with source.opened(path, path.parent, "release") as stream, h5py.File(stream, "r") as file:
            yield file
    except Reject as reject:
        raise refusal_of(reject, path.name, "not a readable HDF5 file").error(path.parent) from reject
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        reason = first_line(error, type(error).__name__)
        raise MedbenchError(
            "file.corrupt",
            f"{path}: not a readable HDF5 file ({reason[:120]}).",
            "Copy it again from its source.",
        ) from error


def list_groups(path: Path) -> list[str]:
    """Names of the groups at the top of a file.

    Raises:
        MedbenchError: as :func:`read_group`.
    """
    import h5py

    with opened(path) as file:
        for name in file:
            _check_link(path, file, name)
        return [name for name in file if isinstance(file[name], h5py.Group)]


def read_group(
    path: Path, group: str, names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, npt.NDArray[Any]]:
    """Arrays of one group; those of ``optional`` only where they are there. Numbers come as numbers.

    Args:
        path: the file.
        group: its group at the top.
        names: arrays that must be there.
        optional: arrays that may be there.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt``, ``file.refers_elsewhere`` for links, external
            storage and virtual datasets, ``data.group_missing``, ``data.array_missing`` naming what is
            there, or ``data.not_real`` for text, objects and rows of different lengths.
    """
    with opened(path) as file:
        if group not in file:
            raise MedbenchError(
                "data.group_missing",
                f"{path}: has no {group}, only {', '.join(sorted(file)[:8]) or 'nothing'}"
                f"{' …' if len(file) > 8 else ''}.",
                "Use the file as released.",
            )
        _check_link(path, file, group)
        there = list(file[group])
        missing = [name for name in names if name not in there]
        if missing:
            raise MedbenchError(
                "data.array_missing",
                f"{path}: {group} has no array '{missing[0]}', only {', '.join(there) or 'none'}.",
                "Use the file as released; medbench data prepare writes all of them.",
            )
        names_here = [*names, *(name for name in optional if name in there)]
        return {name: _read(path, file[group], name) for name in names_here}


def group_text(path: Path, group: str, name: str) -> str | None:
    """One text of a group; ``None`` where the file has none of that name.

    Raises:
        MedbenchError: as :func:`read_group`.
    """
    with opened(path) as file:
        if name not in file.get(group, ()):
            return None
        _check_link(path, file[group], name)
        value = file[group][name][()] if file[group][name].shape == () else b""
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _check_link(path: Path, parent: h5py.Group, name: str) -> None:
    import h5py

    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise _elsewhere(path, f"{parent.name.rstrip('/')}/{name}", "a link")


def _elsewhere(path: Path, name: str, kind: str) -> MedbenchError:
    return MedbenchError(
        "file.refers_elsewhere",
        f"{path}: keeps {name} behind {kind}, not in the file.",
        "Save the values in the file itself.",
    )


def _read(path: Path, group: h5py.Group, name: str) -> npt.NDArray[Any]:
    import h5py

    _check_link(path, group, name)
    dataset = group[name]
    place = f"{group.name}/{name}"
    if not isinstance(dataset, h5py.Dataset):
        raise MedbenchError(
            "data.array_missing", f"{path}: {place} is no array.", "Use the file as released."
        )
    if dataset.is_virtual or dataset.external:
        kind = "a virtual dataset" if dataset.is_virtual else "external storage"
        raise _elsewhere(path, place, kind)
    if dataset.dtype.kind not in "biuf" or dataset.shape is None or len(dataset.shape) > MOST_AXES:
        is_ragged = h5py.check_vlen_dtype(dataset.dtype) is not None
        content = "rows of different lengths" if is_ragged else f"values of the type {dataset.dtype}"
        raise MedbenchError(
            "data.not_real", f"{path}: {place} holds {content}.", "Save one array of numbers."
        )
    check_filters(place, dataset)
    check_budget(dataset.size * dataset.dtype.itemsize, memory_limit_bytes())
    return np.asarray(dataset[()])


def write_groups(
    path: Path, groups: Mapping[str, Mapping[str, Any]], texts: Mapping[str, str] | None = None
) -> None:
    """Write groups of named arrays, compressed, atomically; equal values give equal bytes.

    Args:
        path: the file.
        groups: name of the group -> name -> array or number.
        texts: text attributes of the whole file.
    """
    import h5py

    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name, text in (texts or {}).items():
            file.attrs[name] = text
        for group, arrays in groups.items():
            for name, value in arrays.items():
                compression = {"compression": "gzip", "compression_opts": 4} if np.ndim(value) else {}
                file.create_dataset(f"{group}/{name}", data=value, track_times=False, **compression)
