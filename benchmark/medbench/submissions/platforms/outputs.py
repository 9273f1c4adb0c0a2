"""Comparison of a container's outputs with the predictions of ``medbench run``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.text import agreeing, counted
from medbench.io import images
from medbench.submissions.findings import Finding, error, warning

TOLERANCE = 1e-5


def output_file(folder: Path, suffixes: tuple[str, ...], name: str) -> Path | Finding:
    """The only output of a folder, or a finding."""
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    images_here = [path for path in files if images.suffix_of(path) in suffixes]
    if not files:
        return error(
            "output.missing", f"{name}: nothing was written to {folder.name}/.", "Write one file a case."
        )
    if len(files) > 1:
        names = ", ".join(path.name for path in files[:3])
        return error(
            "output.several", f"{name}: {len(files)} files in {folder.name}/ ({names}).", "Write exactly one."
        )
    if not images_here:
        return error(
            "output.format",
            f"{name}: {files[0].name} is none of {', '.join(suffixes)}.",
            "Write that format.",
        )
    return images_here[0]


def compare_labels(
    reference: npt.NDArray[Any], output: Path, name: str, grid: Volume | None = None
) -> Iterator[Finding]:
    """Findings on a label map that differs from that of ``medbench run`` in pixels, type or geometry.

    Args:
        reference: labels of ``medbench run``; axes of length one do not count.
        output: file that the container wrote.
        name: name of the case, for the message.
        grid: geometry that the output must have.
    """
    try:
        volume = images.read_volume(output)
    except MedbenchError as failure:
        yield error("output.unreadable", f"{name}: {failure.message}", failure.hint)
        return
    if volume.array.dtype not in (np.dtype(np.uint8), np.dtype(bool)):
        yield error(
            "output.type",
            f"{name}: {output.name} holds {volume.array.dtype} values, expected 8-bit labels.",
            "Cast the argmax to uint8 before writing.",
        )
    due, labels = np.squeeze(reference), np.squeeze(volume.array)
    if due.shape != labels.shape:
        yield error(
            "output.size",
            f"{name}: {output.name} is {_size(labels.shape)}, its input {_size(due.shape)}.",
            "Resize labels back to the input, by nearest neighbour, before writing.",
        )
        return
    if grid is not None:
        yield from _compare_geometry(grid, volume, output, name)
    different = int((due != labels).sum())
    if different:
        values = ", ".join(str(value) for value in np.unique(labels)[:6])
        yield error(
            "output.differs",
            f"{name}: {different} of {counted(due.size, 'label')} {agreeing(different, 'differs', 'differ')} "
            f"from medbench run's (values {values}).",
            "The container reads, scales or resizes differently, or has other weights or versions.",
        )


def _compare_geometry(grid: Volume, volume: Volume, output: Path, name: str) -> Iterator[Finding]:
    for field in ("spacing", "origin", "direction"):
        due, value = getattr(grid, field), getattr(volume, field)
        if due is None:
            continue
        if value is None or len(due) != len(value) or not np.allclose(due, value, atol=1e-4):
            yield error(
                f"output.{field}",
                f"{name}: the {field} of {output.name} is {value}, its input's {due}.",
                "Copy spacing, origin and direction from the input.",
            )


def compare_numbers(reference: Any, values: Any, name: str, what: str) -> Iterator[Finding]:
    """Findings on numbers that differ by more than 1e-5, the rounding of another batch size."""
    due, numbers = np.asarray(reference, float), np.asarray(values, float)
    if due.shape != numbers.shape:
        yield error("output.size", f"{name}: {numbers.size} {what}, expected {due.size}.")
        return
    largest = float(np.abs(due - numbers).max(initial=0.0))
    if not largest <= TOLERANCE:
        yield error(
            "output.differs",
            f"{name}: {what} differ by up to {largest:.2g} from those of medbench run.",
            "The container reads, scales or resizes differently, or has other weights or versions.",
        )


def compare_files(reference: Path, output: Path, name: str) -> Iterator[Finding]:
    """Findings on a file whose bytes differ from that of ``medbench run``."""
    if not output.is_file():
        yield error("output.missing", f"{name}: {output.name} was not written.", "Write one file a case.")
    elif reference.read_bytes() != output.read_bytes():
        volume = images.read_volume(reference)
        differences = list(compare_labels(volume.array, output, name, volume))
        yield from differences
        if not differences:
            yield warning(
                "output.bytes",
                f"{name}: {output.name} has the same labels as medbench run's, but other bytes.",
                "The versions of the libraries that write files differ.",
            )


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
