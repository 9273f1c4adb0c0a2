"""Runs of a model on every combination of modalities, and the table of papers on missing modalities."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from medbench.challenges.base import Challenge
from medbench.core.files import sha256_json, write_text
from medbench.core.progress import Progress, SilentProgress
from medbench.core.result_table import MetricSpec
from medbench.core.text import counted
from medbench.records.reading import KEY_LENGTH, Finished
from medbench.records.tables import data_words, heading, number
from medbench.running.modalities import all_combinations
from medbench.running.request import Request, RunKeywords
from medbench.running.run import run_request

THERE, MISSING = "●", "○"
_LATEX = {THERE: r"$\bullet$", MISSING: r"$\circ$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "–": "--"}


@dataclass(frozen=True, slots=True)
class Combinations:
    """Runs of a model on different modalities.

    Attributes:
        challenge: the challenge.
        modalities: modalities that each run may see.
        runs: one run per combination.
        folder: folder of the tables.
    """

    challenge: Challenge
    modalities: Sequence[tuple[str, ...]]
    runs: Sequence[Finished]
    folder: Path

    @property
    def exit_code(self) -> int:
        """0, or 1 when a case of some run failed."""
        return max(run.exit_code for run in self.runs)

    @property
    def title(self) -> str:
        """Title of the table: model, challenge, split, and whether the data are the sample or a subset."""
        record = self.runs[0].record
        where = f"{record.challenge.title}, split {record.challenge.split}{data_words(record)}"
        return f"{record.model.title} on {where}"

    @property
    def headings(self) -> list[str]:
        """Headings of the table: the numbers of the combinations, and the mean over them."""
        return ["", *(str(position) for position in range(1, len(self.modalities) + 1)), "mean"]

    def marks(self) -> list[list[str]]:
        """Rows of the table, one per modality, with a mark for each combination that has it."""
        return [
            [
                (*others, name)[0].upper(),
                *(THERE if name in names else MISSING for names in self.modalities),
                "",
            ]
            for name, others in self.challenge.card.modalities.items()
        ]

    def values(self, metric: str) -> list[float | None]:
        """The aggregate of a metric for each combination."""
        entries = [run.record.metrics.get(metric) for run in self.runs]
        return [None if entry is None else entry.value for entry in entries]

    def mean(self, metric: str) -> float | None:
        """The mean of a metric over the combinations; ``None`` where one of them has no value."""
        values = [value for value in self.values(metric) if value is not None]
        return sum(values) / len(values) if len(values) == len(self.runs) else None

    def tables(self) -> dict[str, list[MetricSpec]]:
        """The headline metrics by evaluation protocol; metrics of two protocols never share a table."""
        tables: dict[str, list[MetricSpec]] = {}
        for spec in self.challenge.metrics:
            if spec.headline and any(value is not None for value in self.values(spec.name)):
                tables.setdefault(spec.protocol, []).append(spec)
        return tables

    def row(self, spec: MetricSpec) -> list[str]:
        """Cells of a metric, one per combination, and the mean over the combinations."""
        values = [*self.values(spec.name), self.mean(spec.name)]
        return [heading(spec), *(number(value, spec.unit) for value in values)]

    def caption(self, protocol: str) -> str:
        """The title with the protocol."""
        return f"{self.title}, protocol {protocol}" if protocol else self.title

    def notes(self) -> list[str]:
        """Notes below the table: meaning of the numbers, and combinations with failed cases."""
        record = self.runs[0].record
        notes = [
            f"{counted(record.counts.total, 'case')}; means over them, and in the last column over the "
            "combinations. Missing modalities are not read."
        ]
        for position, run in enumerate(self.runs, 1):
            n_lost = run.record.counts.failed + run.record.counts.missing
            if n_lost:
                rule = record.challenge.failure_rule
                notes.append(f"Combination {position}: {counted(n_lost, 'case')} failed. {rule}")
        return notes

    def markdown(self) -> str:
        """The tables as Markdown, one per protocol, with title and notes."""
        from tabulate import tabulate

        parts = [f"# {self.title}"]
        for protocol, specs in self.tables().items():
            lines = [*self.marks(), *map(self.row, specs)]
            table = tabulate(lines, self.headings, tablefmt="github", disable_numparse=True)
            parts += [f"## Protocol {protocol}", table] if protocol else [table]
        return "\n\n".join([*parts, *self.notes()]) + "\n"

    def latex(self) -> str:
        """The tables as LaTeX, one ``table`` environment per protocol; needs ``booktabs``."""
        from tabulate import tabulate

        marks = self.marks()
        parts = [f"% {note}" for note in self.notes()]
        for protocol, specs in self.tables().items():
            lines = [*marks, *map(self.row, specs)]
            table = tabulate(lines, self.headings, tablefmt="latex_booktabs", disable_numparse=True)
            rows = table.splitlines()
            rows[0] = rf"\begin{{tabular}}{{l{'r' * (len(self.headings) - 1)}}}"
            rows.insert(4 + len(marks), r"\midrule")
            caption = rf"\caption{{{self.caption(protocol)}.}}"
            parts += [r"\begin{table}", caption, *rows, r"\end{table}", ""]
        text = "\n".join(parts)
        for letter, command in _LATEX.items():
            text = text.replace(letter, command)
        return text

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        metrics = [spec.name for spec in self.challenge.metrics]
        return {
            "title": self.title,
            "combinations": [
                {
                    "modalities": list(names),
                    "run": str(run.folder),
                    "metrics": {name: self.values(name)[position] for name in metrics},
                }
                for position, (names, run) in enumerate(zip(self.modalities, self.runs, strict=True))
            ],
            "mean": {name: self.mean(name) for name in metrics},
            "folder": str(self.folder),
        }


def run_combinations(
    model: str, challenge: str, *, progress: Progress | None = None, **keywords: Unpack[RunKeywords]
) -> Combinations:
    """Run a model once for every combination of modalities and write ``table.md`` and ``table.tex``.

    The arguments are those of :func:`medbench.running.run.run`, whose run directories these are: a repeated
    call resumes.

    Raises:
        MedbenchError: ``challenge.no_modalities``, and as :func:`medbench.running.run.run`.
    """
    return combine_request(Request.of(model, challenge, **keywords), progress)


def combine_request(request: Request, progress: Progress | None = None) -> Combinations:
    """Run a request once for every combination of modalities, as :func:`run_combinations`.

    Raises:
        MedbenchError: as :func:`run_combinations`.
    """
    progress = progress or SilentProgress()
    challenge = request.load_challenge()
    combinations = all_combinations(challenge)
    runs = []
    for position, names in enumerate(combinations, 1):
        progress.say(f"Combination {position} of {len(combinations)}: {', '.join(names)}.")
        inference = dataclasses.replace(request.inference, modalities=names)
        runs.append(run_request(dataclasses.replace(request, inference=inference), progress))
    key = sha256_json([run.record.key for run in runs])[:KEY_LENGTH]
    result = Combinations(challenge, combinations, runs, runs[0].folder.parent / f"combinations-{key}")
    write_text(result.folder / "table.md", result.markdown())
    write_text(result.folder / "table.tex", result.latex())
    return result
