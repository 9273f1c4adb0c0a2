"""Splits of a declared data set: given by its layout or drawn by group and seed, and kept in a file."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medbench.challenges.declared.declaration import Declaration
from medbench.challenges.declared.items import Item
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, sha256_json, write_json
from medbench.core.text import agreeing, counted, named

CROSS_VALIDATION = "folds"
MEANINGS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
            "test": "test", "testing": "test"}  # fmt: skip
"""Names that folders of splits have -> what they mean."""


def split_meaning(names: Sequence[str], meaning: str, otherwise: int) -> str:
    """The split among ``names`` that means ``train``, ``val`` or ``test``; else the one at a position."""
    return next((name for name in names if MEANINGS.get(name.lower()) == meaning), names[otherwise])


def split_names(declaration: Declaration) -> tuple[str, ...]:
    """Names of the splits, before anything is drawn."""
    splits = declaration.splits
    if splits.rule == "given":
        return splits.names
    if splits.rule == "folds":
        folds = fold_names(declaration)
        return (CROSS_VALIDATION, *folds, *(f"{fold}_train" for fold in folds))
    return ("train", *(("val",) if splits.shares["val"] else ()), "test")


def fold_names(declaration: Declaration) -> tuple[str, ...]:
    """``fold1`` … of a cross-validation."""
    return tuple(f"fold{number}" for number in range(1, declaration.splits.folds + 1))


def split_ids(declaration: Declaration, items: Sequence[Item]) -> Mapping[str, Sequence[str]]:
    """Split -> ids of its cases, unique within it; written to a file at first, and the same ever after.

    Raises:
        MedbenchError: ``splits.changed`` for a file whose hash or rule is not what it was and for cases that
            the data now give to another split, ``splits.few`` for too few groups.
    """
    if declaration.splits.rule == "given":
        return _given_ids(declaration, items)
    if declaration.splits_file.exists():
        return _kept(declaration)
    splits = _drawn(declaration, items)
    _write(declaration, splits)
    return splits


def _given_ids(declaration: Declaration, items: Sequence[Item]) -> Mapping[str, Sequence[str]]:
    """The splits that the data give, as they were kept; a split that held nothing takes what it is given."""
    from_data = {name: [item.id for item in items if item.split == name] for name in declaration.splits.names}
    in_file: Mapping[str, Sequence[str]] = {}
    if declaration.splits_file.exists():
        in_file = _kept(declaration)
        _refuse_moved(declaration, in_file, from_data)
    splits = {name: in_file.get(name) or ids for name, ids in from_data.items()}
    if splits != in_file and any(splits.values()) and not shared_groups(items, splits, tuple(splits))[0]:
        with contextlib.suppress(OSError):  # of a folder that cannot be written to: the data say them again
            _write(declaration, splits)
    return splits


def _write(declaration: Declaration, splits: Mapping[str, Sequence[str]]) -> None:
    entries = {**declaration.splits.as_json(), "splits": splits, "sha256": sha256_json(splits)}
    write_json(declaration.splits_file, entries)


def _refuse_moved(
    declaration: Declaration, in_file: Mapping[str, Sequence[str]], from_data: Mapping[str, Sequence[str]]
) -> None:
    """Refuse cases that the data give to another split than the one in which they were kept.

    Raises:
        MedbenchError: ``splits.changed``.
    """
    now = {name: set(ids) for name, ids in from_data.items()}
    moves = [
        f"{case} from {name} to {other}"
        for name, ids in in_file.items()
        for case in ids
        if case not in now[name]
        for other in now
        if case in now[other] and case not in in_file[other]
    ]
    if moves:
        file = declaration.splits_file
        cases = agreeing(len(moves), "case has", "cases have")
        raise MedbenchError(
            "splits.changed",
            f"{declaration.name}: {len(moves)} {cases} moved since {file.name} was written: {named(moves)}.",
            f"Put them back; to accept the change, remove {file}: scores before and after are then of other "
            "splits.",
        )


def shared_groups(
    items: Sequence[Item], by_split: Mapping[str, Sequence[str]], apart: Sequence[str]
) -> tuple[list[str], int]:
    """Groups that lie in more than one of the splits that must not overlap, and the number of all groups."""
    groups = {(item.split, item.id): item.group for item in items} | {
        ("", item.id): item.group for item in items
    }
    owners: dict[str, set[str]] = {}
    for split in apart:
        for case in by_split.get(split, ()):
            group = groups.get((split, case), groups.get(("", case), ""))
            if group:
                owners.setdefault(group, set()).add(split)
    return sorted(group for group, splits in owners.items() if len(splits) > 1), len(owners)


def shared_text(groups: Sequence[str], count: int) -> str:
    """A sentence on groups that lie in more than one split, of ``count`` groups in all."""
    lie = agreeing(len(groups), "lies", "lie")
    return f"{len(groups)} of {count} groups {lie} in more than one split: {named(groups)}."


def refuse_few(declaration: Declaration, items: Sequence[Item]) -> None:
    """Refuse a declaration whose splits cannot be drawn, before anything is written.

    Raises:
        MedbenchError: ``splits.few``.
    """
    if declaration.splits.rule != "given":
        _drawn(declaration, items)


def rule_text(declaration: Declaration) -> str:
    """The rule of the splits in a sentence."""
    rule = declaration.splits
    if rule.rule == "given":
        return f"given by the data set, kept in {declaration.splits_file.name} (own)"
    how = f"{rule.folds} folds" if rule.rule == "folds" else _shares_text(rule.shares)
    return (
        f"{how} of the groups, drawn once with seed {rule.seed}, kept in {declaration.splits_file.name} (own)"
    )


def _shares_text(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{share:.0%} {name}" for name, share in shares.items() if share)


def _kept(declaration: Declaration) -> dict[str, list[str]]:
    """The splits in the file, checked against their hash and the declared rule."""
    path = declaration.splits_file
    anew = "take the splits of the data" if declaration.splits.rule == "given" else "draw anew"
    hint = f"Restore {path.name}; to {anew}, remove it: scores before and after are then of other splits."
    try:
        content: dict[str, Any] = read_json(path)
        splits: dict[str, list[str]] = content["splits"]
        sound = content["sha256"] == sha256_json(splits)
    except (ValueError, KeyError, TypeError) as error:
        raise MedbenchError("splits.changed", f"{path}: cannot be read as splits.", hint) from error
    if not sound:
        raise MedbenchError("splits.changed", f"{path}: its cases are not those of its hash.", hint)
    was = {key: value for key, value in content.items() if key not in ("splits", "sha256")}
    if was != declaration.splits.as_json():
        raise MedbenchError(
            "splits.changed",
            f"{path}: was written by {was}, the declaration says {declaration.splits.as_json()}.",
            hint,
        )
    return splits


def _drawn(declaration: Declaration, items: Sequence[Item]) -> dict[str, list[str]]:
    rule, groups = declaration.splits, dict[str, list[str]]()
    for item in items:
        if item.mask is not None or item.class_name:
            groups.setdefault(item.group or item.id, []).append(item.id)
    names = sorted(groups)
    order = [names[index] for index in np.random.default_rng(rule.seed).permutation(len(names))]
    if rule.rule == "folds":
        if len(order) < rule.folds:
            raise _few(declaration, groups, f"{rule.folds} folds")
        folds = {
            fold: sorted(case for group in order[index :: rule.folds] for case in groups[group])
            for index, fold in enumerate(fold_names(declaration))
        }
        every = sorted(case for cases in groups.values() for case in cases)
        return folds | {
            f"{fold}_train": [case for case in every if case not in set(cases)]
            for fold, cases in folds.items()
        }
    shares = {name: share for name, share in rule.shares.items() if share}
    counts = {name: max(1, round(share * len(order))) for name, share in shares.items()}
    if len(order) <= sum(counts.values()):
        raise _few(declaration, groups, " and ".join(("train", *counts)))
    parts: dict[str, list[str]] = {}
    for name, count in counts.items():
        parts[name] = sorted(case for group in order[:count] for case in groups[group])
        order = order[count:]
    train = sorted(case for group in order for case in groups[group])
    return {"train": train, **parts}


def _few(declaration: Declaration, groups: Mapping[str, Sequence[str]], what: str) -> MedbenchError:
    hint = "Add cases, ask for fewer folds, or give the splits by a folder {split} or a column."
    if "{group}" in declaration.images and not declaration.group and groups:
        example = next(iter(groups.values()))[0]
        hint = (
            f"Each folder is a group ({named(sorted(groups))}). Where a folder is a hospital and not a "
            f"patient, name the patient: --group 'EXPRESSION' on names such as {example}; --group '(.+)' "
            "takes each image for itself. Else add hospitals or ask for fewer splits."
        )
    are = agreeing(len(groups), "is", "are")
    return MedbenchError(
        "splits.few",
        f"{declaration.name}: {counted(len(groups), 'group')} with a reference {are} too few for {what}.",
        hint,
    )
