"""Outcomes of a study's cells on disk: one file a cell, and the tries that have not ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, write_json

CELLS, TRIES, QUICK, RUNS, BOARDS = "cells", "tries", "quick", "runs", "leaderboards"
Status = Literal["ok", "failed", "given up"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell ended; without times, so that the same study gives the same bytes on any machine.

    Attributes:
        id: of the cell.
        title: of the cell, in words.
        status: ``ok``; ``failed`` with an error; ``given up`` after its worker died again and again.
        reason: why not ``ok``.
        run: folder of the run, relative to the study's folder.
        settings: of the recipe, the chosen ones where there were several.
        validation: score on the held-out training cases of each candidate, where there were several.
        tries: calls that it took, those whose worker died included.
    """

    id: str
    title: str
    status: Status
    reason: str = ""
    run: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    validation: tuple[float | None, ...] = ()
    tries: int = 1

    def write(self, folder: Path) -> None:
        """Write the outcome into the study's folder."""
        write_json(folder / CELLS / f"{self.id}.json", asdict(self))

    @staticmethod
    def read(folder: Path, cell_id: str) -> Outcome | None:
        """The outcome of a cell; ``None`` where it has not ended.

        Raises:
            MedbenchError: ``study.damaged`` for a file that was edited.
        """
        path = folder / CELLS / f"{cell_id}.json"
        if not path.is_file():
            return None
        try:
            entry = read_json(path)
            return Outcome(**{**entry, "validation": tuple(entry["validation"])})
        except (ValueError, TypeError, KeyError) as error:
            raise MedbenchError(
                "study.damaged", f"{path}: is no outcome of a cell.", "Delete it; its cell is done again."
            ) from error
