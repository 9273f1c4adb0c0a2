"""Cases of a declared data set: files found by templates, by nnU-Net's or MSD's layout, or in a table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from medbench.challenges.declared.coco import CocoImage, coco_tables, read_coco
from medbench.challenges.declared.declaration import Declaration
from medbench.challenges.declared.own_table import own_path, read_own_table
from medbench.challenges.declared.templates import Match, files_below, matches
from medbench.core.errors import MedbenchError
from medbench.core.text import agreeing, composed
from medbench.io.gate.listing import is_metadata
from medbench.io.tables import plain_text


@dataclass(frozen=True, slots=True)
class Item:
    """A case of a data set.

    Attributes:
        id: unique in the data set.
        inputs: modality (``image`` for images) -> file.
        mask: file of the label map; ``None`` where there is none.
        class_name: name of the image's class; empty where there is none.
        group: patient, lesion or video; empty where it is not known to share one.
        split: the split that the layout gives; empty where it gives none.
        objects: the image's entry of COCO JSON, whose file is then ``mask``; ``None`` for other layouts.
    """

    id: str
    inputs: Mapping[str, Path]
    mask: Path | None = None
    class_name: str = ""
    group: str = ""
    split: str = ""
    objects: CocoImage | None = None


@dataclass(frozen=True, slots=True)
class Items:
    """All cases of a data set, and files that belong to none.

    Attributes:
        cases: in a fixed order.
        stray_masks: masks without an image.
    """

    cases: tuple[Item, ...]
    stray_masks: tuple[Path, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class DataSetFile:
    """The facts of a ``dataset.json`` of nnU-Net or MSD.

    Attributes:
        labels: name -> value, the background first.
        modalities: in the order of the channels.
        suffix: of the files, nnU-Net's only.
        training: image and label of each training case, MSD's only.
        test: images of the test cases, MSD's only.
    """

    labels: Mapping[str, int]
    modalities: tuple[str, ...]
    suffix: str = ".nii.gz"
    training: tuple[tuple[str, str], ...] = ()
    test: tuple[str, ...] = ()


def read_data_set_file(path: Path) -> DataSetFile:
    """The facts of a ``dataset.json``.

    Raises:
        MedbenchError: ``dataset_json.unreadable``, or ``dataset_json.entry`` naming the entry.
    """
    try:
        facts = json.loads(plain_text(path))
    except ValueError as error:
        raise MedbenchError(
            "dataset_json.unreadable", f"{path}: is no JSON: {error}.", "Repair it."
        ) from error
    try:
        raw = facts["labels"]
        by_value = all(re.fullmatch(r"\d+", str(key)) for key in raw)
        labels = {str(name): int(value) for value, name in raw.items()} if by_value else dict(raw)
        channels = facts.get("channel_names") or facts.get("modality") or _no_channels(path)
        training = tuple(
            (_relative(one["image"]), _relative(one["label"]))
            for one in facts.get("training", ())
            if isinstance(one, dict)
        )
        test = facts.get("test") or ()
        tests = tuple(_relative(one["image"] if isinstance(one, dict) else one) for one in test)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MedbenchError(
            "dataset_json.entry", f"{path}: {error} is missing or of another form.", "Complete dataset.json."
        ) from error
    regions = [name for name, value in labels.items() if not isinstance(value, int)]
    if regions:
        raise MedbenchError(
            "dataset_json.entry",
            f"{path}: the label '{regions[0]}' is a region of several values.",
            "Name each value of the label maps once.",
        )
    labels.pop("ignore", None)
    in_order = dict(sorted(labels.items(), key=lambda entry: entry[1]))
    names = tuple(str(channels[key]) for key in sorted(channels, key=int))
    return DataSetFile(in_order, names, str(facts.get("file_ending", ".nii.gz")), training, tests)


def _no_channels(path: Path) -> NoReturn:
    raise MedbenchError(
        "dataset_json.entry",
        f"{path}: names no channels: channel_names (nnU-Net) or modality (MSD) is missing.",
        'For example "channel_names": {"0": "CT"}.',
    )


def _relative(name: Any) -> str:
    return str(name).removeprefix("./")


def find_items(declaration: Declaration, root: Path) -> Items:
    """All cases of a data set.

    Raises:
        MedbenchError: ``data.missing``, ``data.empty``, ``data.case_twice``, ``data.group``, or as the
            layout's own files.
    """
    if not root.is_dir():
        raise MedbenchError(
            "data.missing",
            f"{root}: there is no such folder.",
            f"Correct root of [data.{declaration.name}] in {declaration.path}, or give --data.",
        )
    finders = {
        "folders": _by_templates, "nnunet": _by_nnunet, "msd": _by_msd, "table": _by_table, "coco": _by_coco,
    }  # fmt: skip
    items = finders[declaration.layout](declaration, root)
    if not items.cases:
        raise MedbenchError(
            "data.empty",
            f"{root}: holds no image of {declaration.name} "
            f"({declaration.table or declaration.images or declaration.layout}).",
            f"Check --data, or [data.{declaration.name}] in {declaration.path}.",
        )
    ids: dict[tuple[str, str], Item] = {}
    has_splits = declaration.splits.rule == "given"
    for item in items.cases:
        first = ids.setdefault((item.split if has_splits else "", item.id), item)
        if first is not item:
            paths = [next(iter(one.inputs.values())) for one in (first, item)]
            raise MedbenchError(
                "data.case_twice",
                f"{paths[0]} and {paths[1]}: both are the case {item.id}.",
                "Give each case a name of its own, or put its folder into the template as {group}.",
            )
    if declaration.group:
        pattern = re.compile(declaration.group)
        cases = tuple(replace(item, group=_group(pattern, item.id)) for item in items.cases)
        if not any(item.group for item in cases):
            raise MedbenchError(
                "data.group",
                f"{declaration.name}: the group '{declaration.group}' is in no case's name, for example "
                f"{items.cases[0].id}.",
                "Give a regular expression whose part in () names the patient or the video.",
            )
        items = replace(items, cases=cases)
    return items


def _group(pattern: re.Pattern[str], case: str) -> str:
    match = pattern.search(case)
    return "" if match is None else str(match[1])


def _by_templates(declaration: Declaration, root: Path) -> Items:
    names = files_below(root)
    images = matches(root, declaration.images, names)
    if declaration.task == "classification":
        return Items(
            tuple(
                Item(
                    f"{one.class_name}/{one.case}", {"image": one.path},
                    class_name=one.class_name, group=one.group, split=one.split,
                )
                for one in images
            )
        )  # fmt: skip
    masks = {_key(one): one.path for one in matches(root, declaration.masks, names)}
    images = [one for one in images if one.path not in set(masks.values())]
    own = {_key(one) for one in images}
    stray = tuple(path for key, path in masks.items() if key not in own)
    key = declaration.modalities[0] if declaration.modalities else "image"
    return Items(
        tuple(
            Item(one.case, {key: one.path}, masks.get(_key(one)), group=one.group, split=one.split)
            for one in images
        ),
        stray,
    )


def _key(match: Match) -> tuple[str, str]:
    return match.split, composed(match.case)


def _by_nnunet(declaration: Declaration, root: Path) -> Items:
    facts = read_data_set_file(root / "dataset.json")
    cases, stray = list[Item](), list[Path]()
    for end, split in (("Tr", "train"), ("Ts", "test")):
        folder = root / f"images{end}"
        pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(facts.suffix)}")
        channels: dict[str, dict[int, Path]] = {}
        for path in _files(folder, facts):
            match = pattern.fullmatch(path.name)
            if match is not None:
                channels.setdefault(match[1], {})[int(match[2])] = path
        labels = {
            composed(path.name.removesuffix(facts.suffix)): path
            for path in _files(root / f"labels{end}", facts)
        }
        if split == "test" and not labels:
            continue
        names = {composed(name) for name in channels}
        stray += [path for name, path in labels.items() if name not in names]
        keys = declaration.modalities or ("image",)
        for name, files in channels.items():
            _check_channels(declaration, files, keys)
            inputs = {key: files[index] for index, key in enumerate(keys) if index in files}
            cases.append(Item(name, inputs, labels.get(composed(name)), split=split))
    return Items(tuple(cases), tuple(stray))


def _check_channels(declaration: Declaration, files: Mapping[int, Path], keys: Sequence[str]) -> None:
    """Refuse files of more channels than the data set has: one file an image, or one a modality."""
    excess = sorted(index for index in files if index >= len(keys))
    if not excess:
        return
    path = files[excess[0]]
    if declaration.modalities:
        raise MedbenchError(
            "data.channels",
            f"{path}: is the channel {excess[0]}, {declaration.name} declares {len(keys)} "
            f"{agreeing(len(keys), 'modality', 'modalities')} ({', '.join(keys)}).",
            "Name it under channel_names of dataset.json and under modalities, or remove the file.",
        )
    raise MedbenchError(
        "data.channels",
        f"{path}: is the channel {excess[0]} of an image; images of several files cannot be declared yet.",
        "Save each image as one grey or RGB file, CASE_0000.png.",
    )


def _files(folder: Path, facts: DataSetFile) -> Sequence[Path]:
    own = folder.glob(f"*{facts.suffix}") if folder.is_dir() else ()
    return sorted(path for path in own if not is_metadata(path.name))


def _by_msd(declaration: Declaration, root: Path) -> Items:
    facts = read_data_set_file(root / "dataset.json")
    keys = declaration.modalities or ("image",)
    cases = []
    for image, label in facts.training:
        name = Path(image).name.removesuffix(".gz").removesuffix(".nii")
        inputs = dict.fromkeys(keys, _below(root, image))
        cases.append(Item(name, inputs, _below(root, label) if label else None, split="train"))
    return Items(tuple(cases))


def _below(root: Path, name: str) -> Path:
    if Path(name).is_absolute() and Path(name).is_relative_to(root):
        inside = Path(name).relative_to(root).as_posix()
        message = f"{root}: '{name}' is an absolute path, which holds on this machine alone."
        raise MedbenchError("data.path_outside", message, f"Write it from the data's folder on: {inside}.")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise MedbenchError(
            "data.path_outside",
            f"{root}: '{name}' leads out of the folder.",
            "Paths start at the data's folder.",
        )
    return root / name


def _by_table(declaration: Declaration, root: Path) -> Items:
    columns = declaration.columns
    rows = read_own_table(_below(root, declaration.table), *columns.values())
    key = declaration.modalities[0] if declaration.modalities else "image"
    cases = []
    for row in rows:
        values = {name: row[column].strip() for name, column in columns.items()}
        image = own_path(values["image"])
        mask = own_path(values.get("mask", ""))
        stem = Path(image).with_suffix("").as_posix().removesuffix(".nii")
        cases.append(
            Item(
                values.get("case") or stem,
                {key: _below(root, image)},
                _below(root, mask) if mask else None,
                values.get("class", ""),
                values.get("group", ""),
                values.get("split", ""),
            )
        )
    return Items(tuple(cases))


def _by_coco(declaration: Declaration, root: Path) -> Items:
    cases = []
    for split, path in coco_tables(declaration, root):
        for image in read_coco(path, declaration).images:
            place = declaration.images.replace("{split}", split).replace("{case}", image.file_name)
            stem = Path(image.file_name).with_suffix("").as_posix()
            inputs = {"image": _below(root, place)}
            cases.append(Item(stem, inputs, path, group=image.group, split=split, objects=image))
    return Items(tuple(cases))
