"""The linter of organisers' uploads: contexts of evaluation images, and Codabench bundles."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import read_json
from medbench.submissions.build.locking import LOCK
from medbench.submissions.containers.archives import read_archive
from medbench.submissions.findings import Finding, error
from medbench.submissions.lint.image import lint_instructions, lint_lock, lint_upload
from medbench.submissions.platforms.grand_challenge import GrandChallenge
from medbench.submissions.serving.session import FACTS

COMPETITION = "competition.yaml"
METADATA = ("metadata.yaml", "metadata")
REQUIRED = ("version", "title", "image", "terms", "pages", "phases", "tasks", "leaderboards")
LISTS = ("pages", "phases", "tasks", "leaderboards")
DEFAULT_IMAGE = "codalab/codalab-legacy:py37"
_AGAIN = "Write it again: medbench submit host."


def lint_hosted(path: Path) -> Iterator[Finding]:
    """Findings on a folder that ``medbench submit host`` wrote, or on a competition bundle's zip.

    Raises:
        MedbenchError: ``host.unknown`` for a folder that holds none.
    """
    if path.suffix == ".zip":
        yield from lint_competition(path)
    elif (path / "context").is_dir():
        yield from _lint_evaluation(path)
        archive = path / f"{path.resolve().name}.tar.gz"
        if archive.is_file():
            yield from lint_upload(read_archive(archive), GrandChallenge())
    elif (path / f"{path.resolve().name}.zip").is_file():
        yield from _lint_image(path / "image")
        yield from lint_competition(path / f"{path.resolve().name}.zip")
    else:
        raise MedbenchError(
            "host.unknown", f"{path}: holds no evaluation program.", "Give the folder that submit host wrote."
        )


def lint_competition(path: Path) -> Iterator[Finding]:
    """Findings on a Codabench bundle: keys, phases, dates and files of ``competition.yaml``."""
    import yaml

    try:
        with zipfile.ZipFile(path) as archive:
            damaged, names = archive.testzip(), set(archive.namelist())
            if damaged:
                yield error("bundle.damaged", f"{path}: {damaged} is damaged.", _AGAIN)
                return
            if COMPETITION not in names:
                nested = next((name for name in sorted(names) if name.endswith(f"/{COMPETITION}")), None)
                text = f"lies in a folder ({nested})" if nested else "is missing"
                advice = "Pack the files, not their folder." if nested else _AGAIN
                yield error("bundle.missing", f"{path}: {COMPETITION} {text}.", advice)
                return
            content = yaml.safe_load(archive.read(COMPETITION))
            bundle = _Bundle({name: archive.read(name) for name in names if _is_metadata(name)}, names)
    except (zipfile.BadZipFile, OSError) as failure:
        yield error("bundle.unreadable", f"{path}: is no zip ({failure}).", _AGAIN)
        return
    except yaml.YAMLError as failure:
        where = " ".join(str(failure).split())
        yield error("competition.syntax", f"{COMPETITION}: is no YAML ({where}).", "Correct that line.")
        return
    if not isinstance(content, dict):
        yield error("competition.syntax", f"{COMPETITION}: holds no keys.", _AGAIN)
        return
    yield from _lint_keys(content)
    yield from _lint_pages(content, bundle)
    yield from _lint_tasks(_entries(content, "tasks"), bundle)
    yield from _lint_phases(_entries(content, "phases"), _entries(content, "tasks"))
    yield from _lint_columns(_entries(content, "leaderboards"))


@dataclass(frozen=True, slots=True)
class _Bundle:
    """Files of the zip: the programs' metadata with their bytes, and all names."""

    metadata: Mapping[str, bytes]
    names: Set[str]

    def holds(self, name: str) -> bool:
        """Whether there is a file or a folder of that name."""
        place = name.removeprefix("./").rstrip("/")
        return bool(place) and any(one == place or one.startswith(f"{place}/") for one in self.names)


def _is_metadata(name: str) -> bool:
    return name.rpartition("/")[2] in METADATA


def _entries(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The mappings of a list; :func:`_lint_keys` reports other items."""
    entries = content.get(key)
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []


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
    if not content.get("docker_image"):
        yield error(
            "competition.image",
            f"{COMPETITION}: names no docker_image: it runs in {DEFAULT_IMAGE}, which lacks packages.",
            "Name the image that is built from image/ and pushed.",
        )


def _lint_pages(content: Mapping[str, Any], bundle: _Bundle) -> Iterator[Finding]:
    files = [("image", content.get("image")), ("terms", content.get("terms"))]
    files += [(f"page {page.get('title', '?')}", page.get("file")) for page in _entries(content, "pages")]
    for what, name in files:
        if name and not bundle.holds(str(name)):
            yield error("competition.file", f"{COMPETITION}: {what}: {name} is not in the zip.", "Add it.")
        elif not name and what.startswith("page"):
            yield error("competition.key", f"{COMPETITION}: {what}: has no file.", "Name its file.")


def _lint_tasks(tasks: Sequence[Mapping[str, Any]], bundle: _Bundle) -> Iterator[Finding]:
    indexes = [task.get("index") for task in tasks]
    for number, task in enumerate(tasks):
        where = f"{COMPETITION}: task {task.get('index', number)}"
        if task.get("index") is not None and task["index"] in indexes[:number]:
            yield error("competition.task", f"{where}: another task has this index.", "Number the tasks.")
        for key in ("index", "name", "scoring_program"):
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


def _lint_program(folder: str, where: str, bundle: _Bundle) -> Iterator[Finding]:
    """Findings on a program's folder: its metadata name a command, whose script the folder holds."""
    import yaml

    metadata = next((f"{folder}/{name}" for name in METADATA if f"{folder}/{name}" in bundle.metadata), None)
    if metadata is None:
        yield error("competition.program", f"{where}: {folder} has no {METADATA[0]}.", "Add it.")
        return
    try:
        content = yaml.safe_load(bundle.metadata[metadata])
    except yaml.YAMLError:
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
    start, end, ended = _date(phase.get("start")), _date(phase.get("end")), _date(before.get("end"))
    if start and end and end <= start:
        yield error("competition.date", f"{where}: ends before it starts.", "Correct start or end.")
    if before and not before.get("end"):
        yield error("competition.date", f"{where}: the phase before it has no end.", "Give it an end.")
    if start and ended and start < ended:
        yield error("competition.date", f"{where}: starts before the one before ends.", "Correct a date.")


def _date(value: object) -> datetime | None:
    """A time in UTC from a text or a YAML date; ``None`` for other values."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _lint_columns(boards: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for board in boards:
        where = f"{COMPETITION}: leaderboard {board.get('title', '?')}"
        columns = _entries(board, "columns")
        if not columns:
            yield error("competition.column", f"{where}: has no columns.", "Add a column a score.")
        keys = [column.get("key") for column in columns]
        for number, column in enumerate(columns):
            key = column.get("key")
            if not key or key in keys[:number]:
                what = f"'{key}' is there twice" if key else "a column has no key"
                yield error("competition.column", f"{where}: {what}.", "A key of scores.json for each.")
            if column.get("sorting", "desc") not in ("asc", "desc"):
                text = f"{where}: {key}: sorting {column['sorting']}."
                yield error("competition.column", text, "asc where lower is better, else desc.")


def _lint_evaluation(folder: Path) -> Iterator[Finding]:
    """Findings on grand-challenge's evaluation image and on the separately uploaded ground truth."""
    context = folder / "context"
    yield from _lint_image(context)
    for name in (FACTS, "evaluate.py", "medbench/__init__.py"):
        if not (context / "app" / name).is_file():
            yield error("host.program", f"{context / 'app' / name}: is missing.", _AGAIN)
    yield from _lint_truth(folder / "ground_truth.tar.gz", context / "app" / FACTS)


def _lint_image(context: Path) -> Iterator[Finding]:
    """Findings on an image's Dockerfile and lock; on Codabench the image needs no entrypoint."""
    dockerfile = context / "Dockerfile"
    if not dockerfile.is_file():
        yield error("dockerfile.missing", f"{dockerfile}: is missing.", _AGAIN)
        return
    text = dockerfile.read_text(encoding="utf-8")
    findings = lint_instructions(text, GrandChallenge())
    codabench = context.name == "image"
    yield from (one for one in findings if not (codabench and one.rule in ("image.entrypoint", "image.user")))
    if "pip install" in text:
        yield from lint_lock(context / LOCK)


def _lint_truth(path: Path, facts: Path) -> Iterator[Finding]:
    try:
        with tarfile.open(path) as archive:
            count = sum(member.isfile() for member in archive)
    except (tarfile.TarError, EOFError, OSError) as failure:
        yield error("host.truth", f"{path}: is no ground truth ({failure}).", _AGAIN)
        return
    if not count:
        split = read_json(facts)["split"] if facts.is_file() else "the split"
        yield error("host.truth", f"{path}: holds no file of {split}.", _AGAIN)
