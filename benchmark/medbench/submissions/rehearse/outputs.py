"""Whether what a container wrote is what ``medbench run`` writes, and how it differs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io import images
from medbench.submissions.lint.findings import Finding, error, warning

TOLERANCE = 1e-5


def output_file(folder: Path, suffixes: tuple[str, ...], name: str) -> Path | Finding:
    """The one output of a folder, or what is wrong with it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    fitting = [path for path in found if images.suffix_of(path) in suffixes]
    if not found:
        return error(
            "output.missing", f"{name}: nothing was written to {folder.name}/.", "Write one file a case."
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:3])
        return error(
            "output.several", f"{name}: {len(found)} files in {folder.name}/ ({names}).", "Write exactly one."
        )
    if not fitting:
        return error(
            "output.format",
            f"{name}: {found[0].name} is none of {', '.join(suffixes)}.",
            "Write that format.",
        )
    return fitting[0]


def compare_labels(
    expected: npt.NDArray[Any], output: Path, name: str, grid: Volume | None = None
) -> Iterator[Finding]:
    """Label maps must agree in every pixel, in type, and in the geometry of the input.

    Args:
        expected: labels of ``medbench run``; axes of length one do not count.
        output: file that the container wrote.
        name: of the case, for the message.
        grid: geometry that the output must have.
    """
    try:
        found = images.read_volume(output)
    except MedbenchError as failure:
        yield error("output.unreadable", f"{name}: {failure.message}", failure.hint)
        return
    if found.array.dtype not in (np.dtype(np.uint8), np.dtype(bool)):
        yield error(
            "output.type",
            f"{name}: {output.name} holds {found.array.dtype} values; 8-bit labels are due.",
            "Cast the argmax to uint8 before writing.",
        )
    wanted, given = np.squeeze(expected), np.squeeze(found.array)
    if wanted.shape != given.shape:
        yield error(
            "output.size",
            f"{name}: {output.name} is {_size(given.shape)}, its input {_size(wanted.shape)}.",
            "Resize labels back to the input, by nearest neighbour, before writing.",
        )
        return
    if grid is not None:
        yield from _compare_geometry(grid, found, output, name)
    different = int((wanted != given).sum())
    if different:
        values = ", ".join(str(value) for value in np.unique(given)[:6])
        yield error(
            "output.differs",
            f"{name}: {different} of {wanted.size} labels differ from medbench run's (values {values}).",
            "The container reads, scales or resizes differently, or has other weights or versions.",
        )


def _compare_geometry(grid: Volume, found: Volume, output: Path, name: str) -> Iterator[Finding]:
    for field in ("spacing", "origin", "direction"):
        wanted, given = getattr(grid, field), getattr(found, field)
        if wanted is None:
            continue
        if given is None or len(wanted) != len(given) or not np.allclose(wanted, given, atol=1e-4):
            yield error(
                f"output.{field}",
                f"{name}: the {field} of {output.name} is {given}, its input's {wanted}.",
                "Copy spacing, origin and direction from the input.",
            )


def compare_numbers(expected: Any, found: Any, name: str, what: str) -> Iterator[Finding]:
    """Numbers must agree to 1e-5, the rounding of another batch or number of threads apart."""
    wanted, given = np.asarray(expected, float), np.asarray(found, float)
    if wanted.shape != given.shape:
        yield error("output.size", f"{name}: {given.size} {what}, {wanted.size} are due.")
        return
    largest = float(np.abs(wanted - given).max(initial=0.0))
    if not largest <= TOLERANCE:
        yield error(
            "output.differs",
            f"{name}: {what} differ by up to {largest:.2g} from those of medbench run.",
            "The container reads, scales or resizes differently, or has other weights or versions.",
        )


def compare_files(expected: Path, output: Path, name: str) -> Iterator[Finding]:
    """Files of the same writer: the same bytes; where not, the labels tell how they differ."""
    if not output.is_file():
        yield error("output.missing", f"{name}: {output.name} was not written.", "Write one file a case.")
    elif expected.read_bytes() != output.read_bytes():
        wanted = images.read_volume(expected)
        found = list(compare_labels(wanted.array, output, name, wanted))
        yield from found
        if not found:
            yield warning(
                "output.bytes",
                f"{name}: {output.name} has the same labels as medbench run's, but other bytes.",
                "The versions of the libraries that write files differ.",
            )


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
