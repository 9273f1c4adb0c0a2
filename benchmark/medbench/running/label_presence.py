"""Labels that no reference holds, refused before a table of nothing but dashes is made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.guard import guarded
from medbench.core.label_values import label_values
from medbench.io.images import read_labels
from medbench.running.pairs import pair_files

MOST_SHOWN = 12


def refuse_absent_labels(references: Path, labels: Sequence[int]) -> None:
    """Refuse labels of which no reference holds any; references are read until one does.

    Args:
        references: folder of label maps, or one file.
        labels: that are to be scored.

    Raises:
        MedbenchError: ``data.no_labels`` with the values that the references hold, or as
            :func:`medbench.running.pairs.pair_files`.
    """
    present: set[int] = set()
    for pair in pair_files(references, references).pairs:
        volume = guarded(pair.name, partial(read_labels, Path(pair.reference)))
        if isinstance(volume, Volume):
            present |= set(label_values(volume.array).tolist())
        if present & {*labels}:
            return
    if not present:
        return
    labels_text = " or ".join(map(str, labels))
    structures = _listed(sorted(present - {0}), ",")
    raise MedbenchError(
        "data.no_labels",
        f"No reference holds label {labels_text}. They hold {_listed(sorted(present), ' and ')}.",
        f"Try --labels {structures}." if structures else "Check --references: every label map is empty.",
    )


def _listed(values: Sequence[int], last: str) -> str:
    """Values with a word before the last one; the first ones of many."""
    words = [str(value) for value in values[:MOST_SHOWN]]
    if len(values) > MOST_SHOWN:
        return f"{','.join(words)},…" if last == "," else f"{', '.join(words)}, …"
    return last.join(words) if last == "," or len(words) < 3 else f"{', '.join(words[:-1])}{last}{words[-1]}"
