"""Verification of a leaderboard from its evidence: every hash, value, interval, count, place and page.

The chain of hashes: ``results.sha256`` is of the rows' file, each row carries its own hash and those of its
``record.json`` and ``cases.jsonl``, and each case carries its own. Where one digit was changed, the cell is
found from the hash. Whatever is resealed is found by computing it again from the cases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbench.core.edits import find_edit
from medbench.core.errors import MedbenchError
from medbench.core.files import read_bytes, sha256_file
from medbench.core.result_table import CaseRow
from medbench.core.seals import Line, broken_seals, hashed_part, read_lines, seal_of, sealed_line
from medbench.leaderboards.page_check import differing_cells_of_page
from medbench.leaderboards.rendering import FORMATS
from medbench.leaderboards.results import RESULTS, board_of_lines, evidence_folder
from medbench.leaderboards.rows import CASES_SHA256, RECORD_SHA256, row_of
from medbench.leaderboards.training_budget import missed_budget
from medbench.records.agreement import differing, differing_cells
from medbench.records.reading import EVIDENCE, JOURNAL, KEY_LENGTH, RECORD
from medbench.records.schema import RunRecord


@dataclass(frozen=True, slots=True)
class Finding:
    """A cell that is not what its evidence gives: file, place in it, and what is wrong."""

    path: Path
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}, {self.place}: {self.message}"


@dataclass(slots=True)
class Verification:
    """Results of the verification of a leaderboard.

    Attributes:
        challenge: its name.
        rows: number of rows.
        cells: number of values, intervals and counts that were computed again.
        pages: number of pages that were compared.
        whole: whether the evidence of every row is there and is what its hashes and its cases say. Pages
            show it, so that they are compared only then.
        scored_again: cases that were scored again from their predictions.
        trained_again: rows whose networks were trained again.
        findings: what is wrong.
        notes: what was not asked for or could not be done, and trainings that missed their budget.
    """

    challenge: str
    rows: int = 0
    cells: int = 0
    pages: int = 0
    whole: bool = True
    scored_again: int = 0
    trained_again: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence of a row, read without refusing anything: record and cases as far as they can be read."""

    folder: Path
    record: RunRecord
    rows: tuple[CaseRow, ...]


def verify_board(leaderboards: Path, challenge: str, key: str = "") -> Verification:
    """Verify a challenge's leaderboard from what lies beside it.

    Args:
        leaderboards: folder of the leaderboards.
        challenge: its name.
        key: beginning of a row's key; only that row is then verified, and no page.
    """
    report = Verification(challenge)
    path = leaderboards / challenge / RESULTS
    whole = read_lines(path)
    lines = [line for line in whole if str(line.row.get("key", "")).startswith(key)]
    report.rows = len(lines)
    due = [_row(report, path, line, leaderboards) for line in lines]
    if not key:
        _check_seal(report, path)
        _check_strays(report, leaderboards / challenge / EVIDENCE, whole)
        _check_pages(report, leaderboards, [line for line in due if line is not None])
    return report


def read_evidence(folder: Path) -> Evidence:
    """The evidence in a folder.

    Raises:
        MedbenchError: ``run.damaged`` for what cannot be read at all.
    """
    try:
        record = RunRecord.model_validate_json(read_bytes(folder / RECORD))
        rows = tuple(CaseRow.from_json(line.row) for line in read_lines(folder / JOURNAL))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MedbenchError(
            "run.damaged",
            f"{folder}: its record or cases cannot be read ({type(error).__name__}).",
            "Restore the folder from version control, or repeat the run.",
        ) from error
    return Evidence(folder, record, rows)


def _row(report: Verification, path: Path, line: Line, leaderboards: Path) -> Line | None:
    """Verify one row and its evidence; the row as the evidence gives it, or as it stands without any."""
    place = f"line {line.number}"
    if not line.row:
        report.findings.append(Finding(path, place, "cannot be read as a row"))
        return None
    edits = list(_own_hash(path, place, line))
    report.findings += edits
    key = str(line.row.get("key", ""))
    folder = evidence_folder(leaderboards, report.challenge, key)
    if not key.isalnum() or not (folder / RECORD).is_file() or not (folder / JOURNAL).is_file():
        _tell_broken(report, Finding(path, place, f"has no evidence in {folder}"))
        return line
    wrong_hashes = [*_record_hash(folder, line.row), *_case_hashes(folder, line.row)]
    _tell_broken(report, *(wrong_hashes or _seal_of_evidence(folder)))
    try:
        evidence = read_evidence(folder)
        cells = list(differing_cells(evidence.record, evidence.rows))
    except MedbenchError as error:
        _tell_broken(report, Finding(folder, "the evidence", error.message))
        return line
    report.cells += _count_cells(evidence.record)
    _tell_broken(
        report,
        *(
            Finding(folder / RECORD, cell, f"says {stands} where the cases give {again}")
            for cell, stands, again in cells
        ),
    )
    due = row_of(evidence.record, folder)
    if budget_note := missed_budget(due):
        report.notes.append(f"{path}, {place}: {budget_note}")
    if not edits and not wrong_hashes:
        report.findings += [
            Finding(path, f"{place}, {cell}", f"says {stands} where the record gives {again}")
            for cell, stands, again in differing(dict(line.row), due)
        ]
    return Line(line.number, sealed_line(due), due, "sealed") if not wrong_hashes else line


def _tell_broken(report: Verification, *findings: Finding) -> None:
    """Add findings on evidence, which is then not whole."""
    report.findings += findings
    report.whole = report.whole and not findings


def _count_cells(record: RunRecord) -> int:
    """Values, ends of intervals and counts of a record."""
    return 3 + len(record.metrics) * 7


def _own_hash(path: Path, place: str, line: Line) -> Iterator[Finding]:
    if line.state == "sealed":
        return
    if line.state == "unsealed":
        yield Finding(path, place, "carries no hash of its own")
        return
    part = hashed_part(line.text)
    edit = find_edit(*part) if part else None
    if edit is not None:
        yield Finding(path, f"{place}, {edit.place}", f"says {edit.stands}; its hash is of {edit.original}")
    elif part and _one_letter_apart(hashlib.sha256(part[0].encode()).hexdigest(), part[1]):
        yield Finding(path, f"{place}, sha256", "is not the hash of its line")
    else:
        yield Finding(path, place, "was edited: the line does not have its hash")


def _one_letter_apart(one: str, other: str) -> bool:
    return len(one) == len(other) and sum(map(str.__ne__, one, other)) == 1


def _record_hash(folder: Path, row: Mapping[str, Any]) -> Iterator[Finding]:
    path, due = folder / RECORD, row.get(RECORD_SHA256)
    content = read_bytes(path)
    if due is None:
        yield Finding(path, "the file", "has no hash in its row")
    elif hashlib.sha256(content).hexdigest() != due:
        edit = find_edit(content.decode(errors="replace"), due)
        if edit is None:
            yield Finding(path, "the file", "was edited: it does not have the hash that its row names")
        else:
            yield Finding(path, edit.place, f"says {edit.stands}; the hash in its row is of {edit.original}")


def _seal_of_evidence(folder: Path) -> list[Finding]:
    """Whether the seal beside record and cases is there and of these files."""
    seal = seal_of(folder / RECORD)
    if not seal.is_file():
        return [Finding(seal, "the file", f"is gone; it seals {RECORD} and {JOURNAL}")]
    names = broken_seals(seal, (RECORD, JOURNAL))
    return [Finding(seal, name, "is not what the seal is of") for name in names]


def _case_hashes(folder: Path, row: Mapping[str, Any]) -> Iterator[Finding]:
    path = folder / JOURNAL
    whole = sha256_file(path) == row.get(CASES_SHA256)
    findings = []
    for line in read_lines(path):
        if line.state != "sealed" or not whole:
            case = line.row.get("case", "?")
            findings += list(_own_hash(path, f"line {line.number}, case {case}", line))
    yield from findings
    if not whole and not findings:
        yield Finding(path, "the file", "has other lines than those whose hash its row names")


def _check_seal(report: Verification, path: Path) -> None:
    seal = seal_of(path)
    if seal.exists() and broken_seals(seal, [path.name]):
        report.findings.append(Finding(seal, path.name, "lines were added, changed or removed"))
    elif path.exists() and not seal.exists():
        report.findings.append(Finding(seal, "the file", f"is gone; it seals {path.name}"))


def _check_strays(report: Verification, folder: Path, lines: list[Line]) -> None:
    """Evidence that no row names."""
    keys = {str(line.row.get("key", ""))[:KEY_LENGTH] for line in lines}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and path.name not in keys:
            report.findings.append(Finding(path, "the folder", "is evidence of no row"))


def _check_pages(report: Verification, leaderboards: Path, due: list[Line]) -> None:
    """Compare every page with what the rows give; where their evidence is not whole, see that it is there."""
    folder = leaderboards / report.challenge
    try:
        board = board_of_lines(leaderboards, report.challenge, due)
    except MedbenchError as error:
        report.findings.append(Finding(folder / RESULTS, "the rows", error.message))
        return
    for name, render in FORMATS.values():
        path = folder / name
        if not path.is_file():
            report.findings.append(Finding(path, "the page", "is not there; write it by leaderboard build"))
        if not report.whole or not path.is_file():
            continue
        report.pages += 1
        stands = read_bytes(path).decode(errors="replace")
        wrong = differing_cells_of_page(stands, render(board))
        report.findings += [Finding(path, place, message) for place, message in wrong]
    if not report.whole:
        report.notes.append(
            f"the pages in {folder} were not compared, as they show evidence that is not whole"
        )
