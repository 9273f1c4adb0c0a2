"""The linter of Codabench's competition bundles: what the platform's unpacker refuses.

Source: codalab/codabench: unpackers/v2.py@8239d01 and base_unpacker.py@c7aeccf.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medbench.submissions.findings import Finding, error, warning
from medbench.submissions.lint.bundle_reading import Bundle, parse_yaml, read_bundle
from medbench.submissions.lint.competition_values import (
    COMPETITION,
    entries_of,
    lint_columns,
    lint_values,
    phases_in_order,
)
from medbench.submissions.platforms.registries import OWN, bad_image

METADATA = ("metadata.yaml", "metadata")
REQUIRED = ("version", "title", "image", "terms", "pages", "phases", "tasks", "leaderboards")
LISTS = ("pages", "phases", "tasks", "leaderboards")
DEFAULT_IMAGE = "codalab/codalab-legacy:py37"
AGAIN = "Write it again: medbench submit host."


def lint_competition(path: Path) -> Iterator[Finding]:
    """Findings on a Codabench bundle: keys, phases, dates and files of ``competition.yaml``."""
    bundle = read_bundle(path, lambda name: name == COMPETITION or _is_metadata(name), AGAIN)
    if isinstance(bundle, Finding):
        yield bundle
        return
    if COMPETITION not in bundle.texts:
        place = next((name for name in sorted(bundle.sizes) if name.endswith(f"/{COMPETITION}")), None)
        text = f"lies in a folder ({place})" if place else "is missing"
        advice = "Pack the files, not their folder." if place else AGAIN
        yield error("bundle.missing", f"{path}: {COMPETITION} {text}.", advice)
        return
    try:
        content = parse_yaml(bundle.texts[COMPETITION])
    except ValueError as failure:
        yield error("competition.syntax", f"{COMPETITION}: is no YAML ({failure}).", "Correct that line.")
        return
    if not isinstance(content, dict):
        yield error("competition.syntax", f"{COMPETITION}: holds no keys.", AGAIN)
        return
    yield from _lint_keys(content)
    yield from _lint_pages(content, bundle)
    yield from _lint_tasks(entries_of(content, "tasks"), bundle)
    yield from _lint_phases(phases_in_order(content), entries_of(content, "tasks"))
    yield from lint_columns(entries_of(content, "leaderboards"))
    yield from lint_values(content)


def _is_metadata(name: str) -> bool:
    return name.rpartition("/")[2] in METADATA


def _lint_keys(content: Mapping[str, Any]) -> Iterator[Finding]:
    for key in REQUIRED:
        if not content.get(key):
            yield error("competition.key", f"{COMPETITION}: '{key}' is missing or empty.", f"Set {key}.")
    for key in LISTS:
        entries = content.get(key)
        if entries and not (isinstance(entries, list) and all(isinstance(one, dict) for one in entries)):
            yield error("competition.key", f"{COMPETITION}: '{key}' is no list of entries.", "Write a list.")
    version = content.get("version")
    if version and str(version) != "2":
        yield error(
            "competition.version", f"{COMPETITION}: version {version}, expected 2.", "Set version: 2."
        )
    yield from _lint_docker_image(str(content.get("docker_image") or ""))


def _lint_docker_image(name: str) -> Iterator[Finding]:
    if not name:
        yield error(
            "competition.image",
            f"{COMPETITION}: names no docker_image: it runs in {DEFAULT_IMAGE}, which lacks packages.",
            "Name the image that is built from image/ and pushed.",
        )
    elif reason := bad_image(name):
        text = f"{COMPETITION}: docker_image {name}: {reason}."
        yield error("competition.image", text, "Write the name by which the workers pull it.")
    elif name.startswith(f"{OWN}/"):
        text = f"{COMPETITION}: docker_image {name} is the name here, by which no worker can pull the image."
        yield warning("competition.image", text, "Push it, and write the bundle again with --registry.")


def _lint_pages(content: Mapping[str, Any], bundle: Bundle) -> Iterator[Finding]:
    files = [("image", content.get("image")), ("terms", content.get("terms"))]
    files += [(f"page {page.get('title', '?')}", page.get("file")) for page in entries_of(content, "pages")]
    for what, name in files:
        if name and not bundle.holds(str(name)):
            yield error("competition.file", f"{COMPETITION}: {what}: {name} is not in the zip.", "Add it.")
        elif name and bundle.sizes.get(str(name).removeprefix("./")) == 0:
            yield error("competition.file", f"{COMPETITION}: {what}: {name} is empty.", "Write its text.")
        elif not name and what.startswith("page"):
            yield error("competition.key", f"{COMPETITION}: {what}: has no file.", "Name its file.")


def _lint_tasks(tasks: Sequence[Mapping[str, Any]], bundle: Bundle) -> Iterator[Finding]:
    indexes = [task.get("index") for task in tasks]
    for number, task in enumerate(tasks):
        where = f"{COMPETITION}: task {task.get('index', number)}"
        if task.get("index") is not None and task["index"] in indexes[:number]:
            yield error("competition.task", f"{where}: another task has this index.", "Number the tasks.")
        for key in ("index",) if task.get("key") else ("index", "name", "scoring_program"):
            if task.get(key) in (None, ""):
                yield error("competition.key", f"{where}: '{key}' is missing.", f"Set {key}.")
        for key in ("scoring_program", "reference_data", "ingestion_program", "input_data"):
            name = task.get(key)
            if not name:
                continue
            if not bundle.holds(str(name)):
                yield error("competition.file", f"{where}: {key}: {name} is not in the zip.", "Add it.")
            elif key.endswith("program") and not str(name).endswith(".zip"):
                yield from _lint_program(str(name).removeprefix("./").rstrip("/"), f"{where}: {key}", bundle)
        if task.get("ingestion_program") and not task.get("input_data"):
            yield error("competition.key", f"{where}: an ingestion_program without input_data.", "Name it.")


def _lint_program(folder: str, where: str, bundle: Bundle) -> Iterator[Finding]:
    """Findings on a program's folder: its metadata name a command, whose script the folder holds."""
    metadata = next((f"{folder}/{name}" for name in METADATA if f"{folder}/{name}" in bundle.texts), None)
    if metadata is None:
        yield error("competition.program", f"{where}: {folder} has no {METADATA[0]}.", "Add it.")
        return
    try:
        content = parse_yaml(bundle.texts[metadata])
    except ValueError:
        content = None
    command = content.get("command") if isinstance(content, dict) else None
    if not isinstance(command, str) or not command.strip():
        yield error("competition.program", f"{where}: {metadata} gives no command.", "command: python3 …")
        return
    for word in command.split():
        script = word.removeprefix("/app/program/").removeprefix("$program/")
        if word.endswith(".py") and not bundle.holds(f"{folder}/{script}"):
            yield error("competition.program", f"{where}: {command}: {folder} has no {script}.", "Add it.")


def _lint_phases(
    phases: Sequence[Mapping[str, Any]], tasks: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    indexes = [task.get("index") for task in tasks]
    for number, phase in enumerate(phases):
        where = f"{COMPETITION}: phase {phase.get('name', number)}"
        for key in ("name", "tasks", "start"):
            if not phase.get(key):
                yield error("competition.key", f"{where}: '{key}' is missing or empty.", f"Set {key}.")
        numbers = phase.get("tasks")
        for index in numbers if isinstance(numbers, list) else []:
            if index not in indexes:
                text = ", ".join(map(str, indexes)) or "none"
                yield error(
                    "competition.task", f"{where}: task {index} is not there.", f"The tasks' indexes: {text}."
                )
        limit = phase.get("execution_time_limit", 1)
        if not isinstance(limit, int) or isinstance(limit, bool) or limit <= 0:
            yield error("competition.limit", f"{where}: execution_time_limit {limit}.", "Give whole seconds.")
        yield from _lint_dates(phase, phases[number - 1] if number else {}, where)


def _lint_dates(phase: Mapping[str, Any], before: Mapping[str, Any], where: str) -> Iterator[Finding]:
    """Findings on a phase's dates and their order; ``before`` is the previous phase, empty for the first."""
    for key in ("start", "end"):
        if phase.get(key) and _date(phase[key]) is None:
            text = f"{where}: {key} {phase[key]} is no date."
            yield error("competition.date", text, "Write it as 2026-01-31 or 2026-01-31 12:00:00.")
    start, end, end_before = _date(phase.get("start")), _date(phase.get("end")), _date(before.get("end"))
    if start and end and end <= start:
        yield error("competition.date", f"{where}: ends before it starts.", "Correct start or end.")
    if before and not before.get("end"):
        yield error("competition.date", f"{where}: the phase before it has no end.", "Give it an end.")
    if start and end_before and start <= end_before:
        text = f"{where}: starts before the phase before it has ended, or at that moment."
        yield error("competition.date", text, "Correct a date.")


def _date(value: object) -> datetime | None:
    """A time in UTC from a text or a YAML date; ``None`` for other values."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
