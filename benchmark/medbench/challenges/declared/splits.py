"""Splits of a declared data set: given by its layout, or drawn once by group and seed and kept in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medbench.challenges.declared.declaration import Declaration
from medbench.challenges.declared.items import MOST_NAMED, Item
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, sha256_json, write_json

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
    """Split -> ids of its cases, unique within it; a draw is written to a file at first and never repeated.

    Raises:
        MedbenchError: ``splits.changed`` for a file whose hash or rule is not what it was, ``splits.few``
            for too few groups.
    """
    rule = declaration.splits
    if rule.rule == "given":
        return {name: [item.id for item in items if item.split == name] for name in rule.names}
    path = declaration.splits_file
    if path.exists():
        return _kept(declaration)
    splits = _drawn(declaration, items)
    write_json(path, {**rule.as_json(), "splits": splits, "sha256": sha256_json(splits)})
    return splits


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
        return "given by the data set (own)"
    how = f"{rule.folds} folds" if rule.rule == "folds" else _shares_text(rule.shares)
    return (
        f"{how} of the groups, drawn once with seed {rule.seed}, kept in {declaration.splits_file.name} (own)"
    )


def _shares_text(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{share:.0%} {name}" for name, share in shares.items() if share)


def _kept(declaration: Declaration) -> dict[str, list[str]]:
    """The splits in the file, checked against their hash and the declared rule."""
    path = declaration.splits_file
    hint = f"Restore {path.name}; to draw anew, remove it: scores before and after are then of other splits."
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
            f"{path}: was drawn by {was}, the declaration says {declaration.splits.as_json()}.",
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
            raise _few(declaration, len(order), f"{rule.folds} folds")
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
        raise _few(declaration, len(order), " and ".join(("train", *counts)))
    parts: dict[str, list[str]] = {}
    for name, count in counts.items():
        parts[name] = sorted(case for group in order[:count] for case in groups[group])
        order = order[count:]
    train = sorted(case for group in order for case in groups[group])
    return {"train": train, **parts}


def _few(declaration: Declaration, groups: int, what: str) -> MedbenchError:
    return MedbenchError(
        "splits.few",
        f"{declaration.name}: {groups} groups with a reference are too few for {what}.",
        "Add cases, ask for fewer folds, or give the splits by a folder {split} or a column.",
    )


def named(names: Sequence[object]) -> str:
    """A count's first names: ``a, b, c, d, e, …``."""
    return ", ".join(str(name) for name in names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
