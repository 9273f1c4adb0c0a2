"""Values that Codabench's data base takes in ``competition.yaml``: choices, longest texts, whole numbers.

Source: codalab/codabench: the models of competitions, leaderboards and tasks, and their serializers, with the
migration leaderboards/0010 of 2026-04-23.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medbench.submissions.findings import Finding, error

COMPETITION = "competition.yaml"
CHOICES: Mapping[str, tuple[str, ...]] = {
    "competition_type": ("competition", "benchmark"),
    "submission_rule": (
        *("Add", "Add_And_Delete", "Add_And_Delete_Multiple"),
        *("Force_Last", "Force_Latest_Multiple", "Force_Best"),
    ),
    "computation": ("avg", "sum", "min", "max", "avg_rank"),
    "sorting": ("asc", "desc"),
}
LONGEST: Mapping[str, Mapping[str, int]] = {
    "competition": {"title": 256},
    "phases": {"name": 256},
    "tasks": {"name": 256},
    "leaderboards": {"title": 64, "key": 36},
    "columns": {"title": 36, "key": 36},
}
"""Part of the file -> key -> letters that its text may have."""
WHOLE = ("max_submissions", "max_submissions_per_day")
QUESTION = ("key", "type", "title", "selection", "is_required", "is_on_leaderboard")
QUESTION_TYPES = ("checkbox", "text", "select")


def lint_values(content: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings on values outside those that the platform takes, columns left out."""
    yield from _lint_choice(content, "competition_type", COMPETITION)
    yield from _lint_lengths(content, "competition", COMPETITION)
    yield from _lint_fact_sheet(content.get("fact_sheet"))
    for part in ("phases", "tasks", "leaderboards"):
        for one in entries_of(content, part):
            where = f"{COMPETITION}: {part[:-1]} {one.get('name') or one.get('title') or '?'}"
            yield from _lint_lengths(one, part, where)
            yield from _lint_choice(one, "submission_rule", where)
            yield from _lint_whole(one, where)
    first = next(iter(phases_in_order(content)), {})
    if first.get("auto_migrate_to_this_phase"):
        text = f"{COMPETITION}: phase {first.get('name', '?')}: nothing can migrate to the first phase."
        yield _refused(text, "Take out auto_migrate_to_this_phase.")


def entries_of(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The mappings of a list in ``competition.yaml``; empty for whatever else."""
    entries = content.get(key)
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []


def phases_in_order(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The phases by their index, as the platform takes them."""
    phases = entries_of(content, "phases")
    indexes = [phase.get("index", 0) for phase in phases]
    whole = all(isinstance(index, int) for index in indexes)
    return sorted(phases, key=lambda phase: phase.get("index", 0)) if whole else phases


def lint_columns(boards: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Findings on the columns of leaderboards: keys, indexes, sorting, lengths, computations."""
    for board in boards:
        where = f"{COMPETITION}: leaderboard {board.get('title', '?')}"
        for key in ("title", "key"):
            if not board.get(key):
                yield error("competition.key", f"{where}: '{key}' is missing.", f"Set {key}.")
        columns = entries_of(board, "columns")
        if not columns:
            yield error("competition.column", f"{where}: has no columns.", "Add a column a score.")
        for number, column in enumerate(columns):
            yield from _lint_column(column, columns[:number], where)
            yield from _lint_computation(column, columns, where)


def _lint_column(
    column: Mapping[str, Any], before: Sequence[Mapping[str, Any]], where: str
) -> Iterator[Finding]:
    key = column.get("key")
    if not key or key in [one.get("key") for one in before]:
        what = f"'{key}' is there twice" if key else "a column has no key"
        yield error("competition.column", f"{where}: {what}.", "A key of scores.json for each.")
    if not isinstance(column.get("index"), int) or column["index"] in [one.get("index") for one in before]:
        text = f"{where}: {key}: index {column.get('index')} is no number of its own."
        yield error("competition.column", text, "Number the columns from 0.")
    if not column.get("title"):
        yield error("competition.column", f"{where}: {key}: has no title.", "Give it one.")
    if column.get("sorting", "desc") not in CHOICES["sorting"]:
        text = f"{where}: {key}: sorting {column['sorting']}."
        yield error("competition.column", text, "asc where lower is better, else desc.")
    yield from _lint_lengths(column, "columns", f"{where}: {key}")


def _lint_computation(
    column: Mapping[str, Any], columns: Sequence[Mapping[str, Any]], where: str
) -> Iterator[Finding]:
    """Findings on a column that the platform computes from others."""
    place = f"{where}: {column.get('key')}"
    yield from _lint_choice(column, "computation", place)
    indexes = column.get("computation_indexes") or []
    if bool(column.get("computation")) != bool(indexes):
        text = f"{place}: computation and computation_indexes go together."
        yield error("competition.column", text, "Give both, or neither.")
    others = [one.get("index") for one in columns if one is not column]
    for index in indexes if isinstance(indexes, list) else str(indexes).split(","):
        if not str(index).strip().isdecimal() or int(index) not in others:
            text = f"{place}: computation_indexes: {index} is no index of another column."
            yield error("competition.column", text, f"The others: {', '.join(map(str, others)) or 'none'}.")


def _lint_choice(entry: Mapping[str, Any], key: str, where: str) -> Iterator[Finding]:
    value = entry.get(key)
    if value is not None and value not in CHOICES[key]:
        yield _refused(f"{where}: {key} {value}.", f"One of {', '.join(CHOICES[key])}.")


def _lint_lengths(entry: Mapping[str, Any], part: str, where: str) -> Iterator[Finding]:
    for key, longest in LONGEST[part].items():
        text = str(entry.get(key) or "")
        if len(text) > longest:
            yield _refused(f"{where}: {key} has {len(text)} letters.", f"{longest} are allowed.")


def _lint_whole(entry: Mapping[str, Any], where: str) -> Iterator[Finding]:
    for key in WHOLE:
        value = entry.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            yield _refused(f"{where}: {key} {value}.", "Give a whole number.")


def _lint_fact_sheet(sheet: Any) -> Iterator[Finding]:
    """Findings on the questions to participants."""
    if sheet and not isinstance(sheet, dict):
        yield _refused(f"{COMPETITION}: fact_sheet holds no questions.", "Write a mapping of questions.")
        return
    for name, question in (sheet or {}).items():
        where = f"{COMPETITION}: fact_sheet: {name}"
        keys = set(question) if isinstance(question, dict) else set()
        if keys != set(QUESTION):
            yield _refused(f"{where}: has other keys than a question.", f"Give {', '.join(QUESTION)}.")
        elif question["key"] != name:
            yield _refused(f"{where}: its key is {question['key']}.", f"Write key: {name}.")
        elif question["type"] not in QUESTION_TYPES:
            yield _refused(f"{where}: type {question['type']}.", f"One of {', '.join(QUESTION_TYPES)}.")


def _refused(message: str, advice: str) -> Finding:
    return error("competition.value", message, advice)
