"""Reading of datasets in HDF5 files, with values in the file itself."""

from __future__ import annotations

import io
import math
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from medbench.core.text import first_line
from medbench.io.gate.expected import check_budget
from medbench.io.gate.refusal import Reject, corrupt

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_AXES = 4
_STARTS = (0, 512, 1024, 2048, 4096)
_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "LZF"}
_ITSELF = "Save the values in the file itself."


def read_datasets(
    content: bytes | bytearray, names: tuple[str, ...], budget_bytes: int
) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """The named datasets of a file, and the names of all datasets at its top level.

    Raises:
        Reject: ``file.corrupt``, ``file.too_large``, ``file.refers_elsewhere`` for an external link, external
            storage or a virtual dataset, ``file.codec`` for other filters than deflate, shuffle, Fletcher-32
            and LZF, ``data.not_real``, ``data.axes``.
    """
    if not any(content[start : start + 8] == SIGNATURE for start in _STARTS):
        raise corrupt("it has no HDF5 signature")
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            there = [name if isinstance(name, str) else name.decode("utf-8", "replace") for name in file]
            kinds = {name: file.get(name, getlink=True) for name in names if name in there}
            arrays = {}
            n_bytes = 2 * len(content)
            for name, link in kinds.items():
                if not isinstance(link, h5py.HardLink):
                    raise Reject(
                        "file.refers_elsewhere", f"keeps '{name}' behind a link, not in the file", _ITSELF
                    )
                if not isinstance(file[name], h5py.Dataset):
                    there.remove(name)
                    continue
                n_bytes += _check_dataset(name, file[name])
                check_budget(n_bytes, budget_bytes)
                arrays[name] = np.asarray(file[name][()])
            return arrays, there
    except Reject:
        raise
    except Exception as error:  # whatever the HDF5 library raises, the file is damaged
        raise _damaged(error) from error


def dataset_shapes(stream: BinaryIO) -> dict[str, tuple[int, ...]]:
    """Name of each dataset at the top of a file -> its shape; no values are read, and no link is followed.

    Raises:
        Reject: ``file.corrupt``.
    """
    import h5py

    try:
        with h5py.File(stream, "r") as file:
            own = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
            datasets = {name: file[name] for name in own if isinstance(file[name], h5py.Dataset)}
            return {name: dataset.shape for name, dataset in datasets.items() if dataset.shape is not None}
    except Exception as error:  # whatever the HDF5 library raises, the file is damaged
        raise _damaged(error) from error


def _damaged(error: Exception) -> Reject:
    return corrupt(first_line(error, type(error).__name__)[:160])


def _check_dataset(name: str, dataset: Any) -> int:
    """Refuse a dataset that is no plain array; the number of bytes to read it."""
    if dataset.is_virtual or dataset.external:
        kind = "a virtual dataset" if dataset.is_virtual else "external storage"
        raise Reject("file.refers_elsewhere", f"keeps '{name}' in other files ({kind})", _ITSELF)
    dtype, shape = dataset.dtype, dataset.shape
    if shape is None or dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise Reject("data.not_real", f"holds values of the type {dtype} in '{name}'", "Save real numbers.")
    if not 1 <= len(shape) <= MOST_AXES:
        raise Reject("data.axes", f"has the shape {shape} in '{name}'", "Give 1 to 4 axes.")
    check_filters(name, dataset)
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes and not dataset.id.get_storage_size():
        raise corrupt(f"'{name}' was never written")
    chunk = math.prod(dataset.chunks) * dtype.itemsize if dataset.chunks else 0
    return n_bytes + 2 * chunk


def check_filters(name: str, dataset: Any) -> None:
    """Refuse filters that the HDF5 library would load from elsewhere.

    Raises:
        Reject: ``file.codec``.
    """
    properties = dataset.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        kind = properties.get_filter(index)[0]
        if kind not in _FILTERS:
            raise Reject("file.codec", f"packs '{name}' with the HDF5 filter {kind}", "Use gzip.")
