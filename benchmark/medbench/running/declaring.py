"""Declaring of own data: look at a folder, write the declaration, draw the splits."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbench.challenges.base import Challenge
from medbench.challenges.declared.challenge import declared_challenge
from medbench.challenges.declared.declaration import read_declaration
from medbench.challenges.declared.items import find_items
from medbench.challenges.declared.release import KEEP_APART
from medbench.challenges.declared.splits import refuse_few, shared_groups, shared_text, split_ids
from medbench.challenges.declared.survey import survey
from medbench.challenges.declared.survey_coco import Survey
from medbench.challenges.declared.writing import append_declaration, name_of
from medbench.core.errors import MedbenchError
from medbench.core.project import PROJECT_FILE, find_project, read_project
from medbench.core.text import agreeing, counted


@dataclass(frozen=True, slots=True)
class Wishes:
    """Options of a declaration: groups, labels, folds, seed.

    Attributes:
        group: regular expression on case names.
        labels: name -> value; as found if not given.
        folds: of a cross-validation; train, val and test if not given.
        seed: of the splits.
    """

    group: str | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    folds: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Declared:
    """A declaration that was written.

    Attributes:
        path: the project file.
        name: of the data set.
        lines: what was found, written, and what comes next.
        complete: whether nothing of the folder is at fault.
    """

    path: Path
    name: str
    lines: Sequence[str]
    complete: bool


def declare(
    folder: Path, name: str | None = None, wishes: Wishes | None = None, file: Path | None = None
) -> Declared:
    """Look at a folder and add its declaration to the project file.

    Args:
        folder: the data.
        name: of the data set; after the folder if not given.
        wishes: what the folder does not say.
        file: the project file; the nearest one upwards from the working folder if not given.

    Raises:
        MedbenchError: as :func:`medbench.challenges.declared.survey.survey`, ``declaration.exists``,
            ``challenge.clash``, ``project.name``, or as the declaration's own reading.
    """
    from medbench.challenges import REGISTRY

    wishes, name = wishes or Wishes(), name or name_of(folder)
    if name in REGISTRY:
        raise MedbenchError(
            "challenge.clash", f"'{name}' is a challenge that medbench has.", f"Give --name our_{name}."
        )
    result = survey(folder)
    entries = _entries(result, wishes)
    project = file or find_project() or Path.cwd() / PROJECT_FILE
    if project.name != PROJECT_FILE:
        raise MedbenchError(
            "project.name", f"{project}: no command would find it.", f"Name the file {PROJECT_FILE}."
        )
    trial = read_declaration(name, {"root": str(folder.resolve()), **entries}, project)
    challenge, cases = declared_challenge(trial), find_items(trial, trial.root).cases
    entries |= _rules(challenge)
    refuse_few(trial, cases)
    path = append_declaration(folder, name, entries, file)
    declaration = read_declaration(name, read_project(path).data[name], path)
    splits = split_ids(declaration, cases)
    if declaration.splits.rule == "given":
        groups, count = shared_groups(cases, splits, tuple(splits))
        if groups:
            text = shared_text(groups, count)
            result.faults.append(f"{text} {KEEP_APART}")
    sentences = [*result.lines, *(result.groups if wishes.group is None else ())]
    lines = [f"{folder}: {line}" for line in sentences] + [f"error: {fault}" for fault in result.faults]
    counts = ", ".join(f"{split} {len(ids)}" for split, ids in splits.items())
    alone = sum(not item.group for item in cases) if declaration.group else 0
    place = f", kept in {declaration.splits_file.name}" if declaration.splits_file.exists() else ""
    lines += _unnamed(entries.get("labels"))
    if alone:
        match = agreeing(alone, "matches", "match")
        total = counted(len(cases), "case")
        lines.append(f"warning: {alone} of {total} {match} no group: each is a group of its own")
    elif not any(item.group for item in cases):
        lines.append(
            "groups: none, each case stands alone. Cases of one patient or video must share a split: name "
            f"what they share by --group, a regular expression on names such as {cases[0].id}"
        )
    lines += [
        f"splits: {counts}{place}",
        f"metrics: {', '.join(entries['metrics'])} ('medbench metrics show ID' defines each)",
        f"written: [data.{name}] in {path}",
    ]
    commands = [f"medbench data check {name}"]
    if not result.faults:
        commands += [f"medbench {verb} -m {_example(challenge)} -c {name}" for verb in ("train", "run")]
    lines += [
        f"{'next:' if place == 0 else '     '} {one}" for place, one in enumerate(_from(path, commands))
    ]
    return Declared(path, name, lines, not result.faults)


def _from(project: Path, commands: Sequence[str]) -> list[str]:
    """The commands, after a change of the folder where the working folder has another project or none."""
    here = find_project()
    if here is not None and here.samefile(project):
        return list(commands)
    return [f"cd {shlex.quote(str(project.parent))}", *commands]


def _unnamed(labels: object) -> list[str]:
    """A sentence where structures have no names of their own, so that tables call them by their values."""
    if not isinstance(labels, dict) or not any(re.fullmatch(r"structure|label_\d+", name) for name in labels):
        return []
    pairs = ", ".join(f"{name} = {value}" for name, value in labels.items())
    return [f"labels: {pairs}. Tables use these names: give better ones in medbench.toml, under labels"]


def _entries(result: Survey, wishes: Wishes) -> dict[str, Any]:
    entries = dict(result.entries)
    if wishes.labels and entries["task"] != "segmentation":
        raise MedbenchError(
            "option.ignored",
            "--labels has no effect: it names the values of label maps, and there are none.",
            "Leave it out; names of classes are those of the data.",
        )
    if wishes.labels:
        own = entries.get("labels")
        values_with_name = {0, *wishes.labels.values()}
        values_without_name = sorted({*own.values()} - values_with_name) if isinstance(own, dict) else []
        if values_without_name:
            values = ", ".join(map(str, values_without_name))
            text = f"Masks hold values that no name has: {values}."
            result.faults.append(f"{text} Name them in medbench.toml, under labels.")
        entries["labels"] = dict(wishes.labels)
    if wishes.group is not None:
        entries["group"] = wishes.group
    if wishes.folds is not None:
        entries["splits"] = {"rule": "folds", "folds": wishes.folds, "seed": wishes.seed}
    elif isinstance(entries["splits"], dict):
        entries["splits"] = {**entries["splits"], "seed": wishes.seed}
    elif wishes.seed:
        raise MedbenchError(
            "option.ignored",
            f"--seed has no effect: the splits {', '.join(entries['splits'])} are given by the data.",
            "Leave it out, or ask for --folds.",
        )
    return entries


def _rules(challenge: Challenge) -> dict[str, Any]:
    """The default metrics and rules, written out so that they can be seen and changed."""
    columns: Any = getattr(challenge.scorer, "columns", ())
    if "boxes" in challenge.card.demands_besides:
        own = [column.spec.convention for column in columns.values() if column.of is None]
        return {"metrics": list(dict.fromkeys(own))}
    if not columns:
        figures = getattr(challenge.scorer, "figures", {}).values()
        return {"metrics": [figure.spec.convention for figure in figures if figure.of is None]}
    return {
        "metrics": list(dict.fromkeys(column.convention.id for column in columns)),
        "empty": {column.convention.id: column.empty for column in columns},
        "missing": "worst",
    }


def _example(challenge: Challenge) -> str:
    """A model that serves the challenge."""
    if challenge.card.image_classes:
        return "timm/resnet18"
    if "boxes" in challenge.card.demands_besides:
        return "torchvision/retinanet_resnet50_fpn"
    return "monai/unet" if "volume" in challenge.exchange.inputs else "smp/unet"
