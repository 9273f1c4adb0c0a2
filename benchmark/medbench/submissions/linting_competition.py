"""The linter of Codabench bundles: what its unpacker refuses, and what makes a phase score nothing.

Source: codalab/codabench@c7dbc75, version 2 of ``competition.yaml``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from medbench.submissions.findings import Finding, error, note, warning

DESCRIPTION = "competition.yaml"
DEFAULT_IMAGE = "codalab/codalab-legacy:py37"
DEFAULT_TIME_S = 600
_AGAIN = "Write the bundle again: medbench submit host --platform codabench."

Moment = Annotated[datetime, AfterValidator(lambda at: at if at.tzinfo else at.replace(tzinfo=UTC))]


class Page(BaseModel):
    """A page of the competition."""

    title: str
    file: str


class Task(BaseModel):
    """Programs and data, each a folder or a zip of the bundle."""

    index: int
    name: str
    scoring_program: str
    reference_data: str | None = None
    input_data: str | None = None
    ingestion_program: str | None = None


class Phase(BaseModel):
    """When which tasks are open."""

    name: str
    start: Moment
    end: Moment | None = None
    tasks: Annotated[list[int], Field(min_length=1)]
    execution_time_limit: int | None = None


class Column(BaseModel):
    """A number of ``scores.json``."""

    key: str
    title: str
    index: int
    sorting: Literal["asc", "desc"] = "desc"


class Leaderboard(BaseModel):
    """Columns of results."""

    key: str
    title: str
    columns: Annotated[list[Column], Field(min_length=1)]


class Competition(BaseModel):
    """``competition.yaml``, as far as it decides whether a bundle works."""

    version: Literal[2]
    title: str
    image: str
    terms: str
    docker_image: str = DEFAULT_IMAGE
    pages: Annotated[list[Page], Field(min_length=1)]
    tasks: Annotated[list[Task], Field(min_length=1)]
    phases: Annotated[list[Phase], Field(min_length=1)]
    leaderboards: Annotated[list[Leaderboard], Field(min_length=1)]


def lint_competition(path: Path) -> list[Finding]:
    """Rules on a bundle, without the platform.

    Args:
        path: a zip with ``competition.yaml`` at its top.
    """
    import yaml

    try:
        with zipfile.ZipFile(path) as archive:
            damaged, names = archive.testzip(), set(archive.namelist())
            if damaged:
                return [error("bundle.damaged", f"{path}: {damaged} is damaged.", _AGAIN)]
            if DESCRIPTION not in names:
                told = f"{path}: has no {DESCRIPTION} at its top."
                return [error("bundle.missing", told, "Pack the files, not their folder.")]
            competition = Competition.model_validate(yaml.safe_load(archive.read(DESCRIPTION)))
            commands = [name for name in names if name.endswith("/metadata.yaml")]
            programs = {name: yaml.safe_load(archive.read(name)) for name in commands}
    except (zipfile.BadZipFile, OSError) as failure:
        return [error("bundle.unreadable", f"{path}: is no zip ({failure}).", _AGAIN)]
    except yaml.YAMLError as failure:
        told = " ".join(str(failure).split())
        return [error("bundle.yaml", f"{path}: a description is no YAML ({told}).", "Correct it.")]
    except ValidationError as failure:
        return [
            error(
                "bundle.key",
                f"{DESCRIPTION}: {'.'.join(map(str, one['loc'])) or 'the whole'}: {one['msg']}.",
                "See Codabench's documentation of competition.yaml.",
            )
            for one in failure.errors()
        ]
    return [
        *_files(competition, names, programs),
        *_phases(competition),
        *_leaderboards(competition),
        *_image(competition),
    ]


def _files(competition: Competition, names: set[str], programs: dict[str, Any]) -> Iterator[Finding]:
    for name in (competition.image, competition.terms, *(page.file for page in competition.pages)):
        if name not in names:
            told = f"{DESCRIPTION}: there is no file '{name}' in the bundle."
            yield error("bundle.file", told, "Pack it, or name another.")
    for task in competition.tasks:
        for part in ("scoring_program", "reference_data", "input_data", "ingestion_program"):
            place = getattr(task, part)
            if not place or place in names:
                continue
            if not any(name.startswith(f"{place}/") for name in names):
                told = f"Task {task.index}: its {part} '{place}' is not in the bundle."
                yield error("bundle.file", told, "Pack it, or name another.")
                continue
            facts = programs.get(f"{place}/metadata.yaml")
            if part.endswith("program") and not (isinstance(facts, dict) and facts.get("command")):
                told = f"{place}/metadata.yaml: states no command."
                yield error("bundle.command", told, "Such as command: python3 /app/program/evaluate.py")


def _phases(competition: Competition) -> Iterator[Finding]:
    known = {task.index for task in competition.tasks}
    before: Phase | None = None
    for phase in competition.phases:
        strangers = sorted(set(phase.tasks) - known)
        if strangers:
            told = f"Phase '{phase.name}': there is no task {', '.join(map(str, strangers))}."
            yield error("bundle.phase", told, "Tasks are named by their index.")
        if phase.end is not None and phase.end <= phase.start:
            yield error("bundle.date", f"Phase '{phase.name}': ends before it starts.", "Correct its end.")
        if before is not None and phase.start < (before.end or before.start):
            told = f"Phase '{phase.name}': starts before '{before.name}' is over."
            yield error("bundle.date", told, "Phases follow one another.")
        if phase.execution_time_limit is None:
            told = f"Phase '{phase.name}': a submission may take {DEFAULT_TIME_S} s, the platform's default."
            yield note("bundle.time", told, "State execution_time_limit in seconds.")
        before = phase


def _leaderboards(competition: Competition) -> Iterator[Finding]:
    for board in competition.leaderboards:
        keys = [column.key for column in board.columns]
        for key in sorted({key for key in keys if keys.count(key) > 1}):
            told = f"Leaderboard '{board.key}': has two columns '{key}'."
            yield error("bundle.columns", told, "Each is a number of scores.json: rename one.")


def _image(competition: Competition) -> Iterator[Finding]:
    image = competition.docker_image
    if image == DEFAULT_IMAGE:
        told = f"{DESCRIPTION}: programs run in {image}, whose Python is 3.7."
        yield warning("bundle.docker_image", told, "Name an image that has what they import.")
    elif "." not in image.split("/")[0]:
        told = f"{image}: the workers pull it from Docker Hub."
        yield note("bundle.docker_image", told, "Push it there, or name a registry before it.")
