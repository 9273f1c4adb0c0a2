"""Base of releases of declared data sets: cases, splits, and checks of pairs, groups and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medbench.challenges.card import Card
from medbench.challenges.declared.declaration import Declaration
from medbench.challenges.declared.grouping import grouped
from medbench.challenges.declared.items import Item, Items, find_items
from medbench.challenges.declared.splits import (
    CROSS_VALIDATION,
    fold_names,
    rule_text,
    shared_groups,
    shared_text,
    split_ids,
    split_meaning,
    split_names,
)
from medbench.challenges.release import Release, SplitFacts
from medbench.challenges.stray import Finding
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, sha256_json
from medbench.core.text import agreeing, counted, counted_are, named

KEEP_APART = "Scores would be of near duplicates: keep each group in one split."
FACT = "declaration"
"""Entry of a case's facts: what of the declaration decides a result, which so enters every key."""


class DeclaredRelease(Release):
    """Files of a declared data set."""

    def __init__(self, card: Card, declaration: Declaration) -> None:
        super().__init__(card)
        self.declaration = declaration
        self.folder = declaration.root
        self.splits = split_names(declaration)
        self.data_hint = f"Check --data, or root of [data.{declaration.name}] in {declaration.path}."
        self.sample_version = ""
        if declaration.splits.rule == "folds":
            self.default_split, self.training_split = CROSS_VALIDATION, f"{fold_names(declaration)[0]}_train"
        else:
            self.default_split = split_meaning(self.splits, "test", -1)
            self.training_split = split_meaning(self.splits, "train", 0)

    def parts(self, split: str) -> Sequence[str]:
        """The folds of a cross-validation."""
        return fold_names(self.declaration) if split == CROSS_VALIDATION else ()

    def training_split_of(self, split: str) -> str:
        """The rest of a fold; else the training split."""
        return f"{split}_train" if split in self._folds else self.training_split

    def overlap(self, training_split: str, split: str) -> bool:
        """Whether a training split holds the tested fold: all but its own do."""
        if not self._folds or training_split == split:
            return False
        return training_split != f"{split}_train"

    def disjoint_splits(self) -> Sequence[Sequence[str]]:
        """The folds, or all splits."""
        return (self._folds or self.splits,)

    @property
    def _folds(self) -> tuple[str, ...]:
        return fold_names(self.declaration) if self.declaration.splits.rule == "folds" else ()

    def split_facts(self, split: str) -> SplitFacts:
        """The rule; size and hash where the splits are kept."""
        file = self.declaration.splits_file
        if not file.exists() or split == CROSS_VALIDATION:
            return SplitFacts(rule_text(self.declaration))
        ids = read_json(file)["splits"].get(split, [])
        return SplitFacts(rule_text(self.declaration), len(ids), sha256_json(ids))

    def cases(self, root: Path, split: str) -> list[Case]:
        """The cases of a split; of all folds, each under the name of its fold.

        Raises:
            MedbenchError: ``splits.group_shared`` where a group lies in two splits.
        """
        self.check_split(split)
        items = find_items(self.declaration, root)
        by_split = split_ids(self.declaration, items.cases)
        has_splits = self.declaration.splits.rule == "given"
        groups, count = shared_groups(items.cases, by_split, self.disjoint_splits()[0])
        if groups:
            text = f"{root}: {shared_text(groups, count)}"
            anew = f"Drawn by other groups: remove {self.declaration.splits_file.name} to draw them anew."
            raise MedbenchError("splits.group_shared", text, KEEP_APART if has_splits else anew)
        by_id = {item.id: item for item in items.cases if not has_splits or item.split == split}
        entries = [
            (f"{part}/{case}" if self.parts(split) else case, by_id[case])
            for part in self.parts(split) or (split,)
            for case in by_split[part]
            if case in by_id
        ]
        if not entries:
            counts = ", ".join(f"{name}: {len(ids)}" for name, ids in by_split.items())
            raise MedbenchError(
                "data.empty", f"{root}: holds no case of split {split} ({counts}).", self.data_hint
            )
        return [self.case(name, item) for name, item in entries]

    def case(self, name: str, item: Item) -> Case:
        """The case of an item."""
        reference = {"labels": item.mask} if item.mask is not None else {}
        return Case(name, item.inputs, reference, item.group or item.id, {FACT: self.declaration.sha256[:16]})

    def check(self, root: Path) -> list[Finding]:
        """Findings on the data folder; what holds of many files is one finding that counts them."""
        findings = super().check(root)
        items = find_items(self.declaration, root).cases
        files = {path for item in items for path in (*item.inputs.values(), item.mask) if path is not None}
        return grouped(findings, files)

    def check_files(self, root: Path) -> list[Finding]:
        """Counts, images without masks and the reverse, groups in two splits, and every file."""
        items = find_items(self.declaration, root)
        findings = [*_pair_findings(self.declaration, items)]
        by_split = split_ids(self.declaration, items.cases)
        findings += _split_findings(self.declaration, items, by_split, self.disjoint_splits()[0])
        return findings + list(self.content_findings(items.cases))

    def content_findings(self, items: Sequence[Item]) -> Iterator[Finding]:
        """Findings on what the files hold."""
        yield from ()

    def write_sample(self, root: Path, options: object) -> None:
        """Refuse: there is no synthetic sample of own data.

        Raises:
            MedbenchError: ``sample.own``.
        """
        raise MedbenchError(
            "sample.own", f"{self.card.title} is declared data and has no sample.", "Its folder is the data."
        )


def _pair_findings(declaration: Declaration, items: Items) -> Iterator[Finding]:
    if declaration.task == "classification":
        return
    alone = [item.id for item in items.cases if item.mask is None or not item.mask.exists()]
    missing = [item.id for item in items.cases for path in item.inputs.values() if not path.exists()]
    if alone:
        have = agreeing(len(alone), "has", "have")
        text = f"{len(alone)} of {len(items.cases)} images {have} no mask: {named(alone)}."
        yield Finding("error", text, "Add the masks; such a case cannot be scored or learnt from.")
    if missing:
        text = f"{counted_are(len(missing), 'image')} named and not there: {named(missing)}."
        yield Finding("error", text, "Add them, or remove their rows.")
    if items.stray_masks:
        names = named([path.name for path in items.stray_masks])
        have = agreeing(len(items.stray_masks), "has", "have")
        text = f"{counted(len(items.stray_masks), 'mask')} {have} no image: {names}."
        yield Finding("error", text, "Add the images.")


def _split_findings(
    declaration: Declaration, items: Items, by_split: Mapping[str, Sequence[str]], apart: Sequence[str]
) -> Iterator[Finding]:
    has_splits, file = declaration.splits.rule == "given", declaration.splits_file.name
    present = {(item.split if has_splits else "", item.id) for item in items.cases}
    for split, ids in by_split.items():
        count = sum((split if has_splits else "", case) in present for case in ids)
        yield Finding("note", f"{split}: {counted(count, 'case')}.")
    entries = {(split if has_splits else "", case) for split, ids in by_split.items() for case in ids}
    fresh = [case for split, case in present if (split, case) not in entries]
    absent = sorted(case for split, case in entries if (split, case) not in present)
    accept = f" To take the splits as the data are now, remove {file}." if has_splits else ""
    if fresh:
        text = f"{counted_are(len(fresh), 'case')} in no split: {named(sorted(fresh))}."
        yield Finding("warning", text, f"Splits are never drawn anew; they stay unused.{accept}")
    if absent:
        are = agreeing(len(absent), "is", "are")
        text = f"{counted(len(absent), 'case')} of the splits {are} not in the folder: {named(absent)}."
        yield Finding("error", text, f"Add them; until then scores are marked as of a subset.{accept}")
    groups, count = shared_groups(items.cases, by_split, apart)
    if groups:
        yield Finding("error", shared_text(groups, count), KEEP_APART)
