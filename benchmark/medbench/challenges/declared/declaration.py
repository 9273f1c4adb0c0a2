"""Declarations of data sets: ``[data.NAME]`` of a project file, checked before any other file is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medbench.challenges.declared.templates import check_template
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_json
from medbench.core.folders import at_home
from medbench.core.registry import unknown_name
from medbench.core.text import counted

LayoutName = Literal["folders", "nnunet", "msd", "table", "coco"]
TaskName = Literal["segmentation", "classification", "detection"]

LAYOUTS = ("folders", "nnunet", "msd", "table", "coco")
TASKS = ("segmentation", "classification", "detection")
MISSING = ("worst", "undefined")
LARGEST_ID = 2**31 - 1
_NAME = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")
_ENTRIES: Mapping[str, Any] = {
    "title": str, "task": str, "layout": str, "root": str, "images": str, "masks": str, "table": str,
    "columns": dict, "labels": (dict, list), "modalities": (dict, list), "channels": int,
    "values": list, "threshold": int,
    "spacing": (str, list), "group": (str, dict), "splits": (list, dict, str), "metrics": list,
    "empty": (str, dict), "missing": str, "license": str, "citation": str, "homepage": str,
}  # fmt: skip
_COSMETIC = ("title", "root", "license", "citation", "homepage", "splits")
_COLUMNS = ("image", "mask", "class", "split", "group", "case")


@dataclass(frozen=True, slots=True)
class SplitRule:
    """How splits come about.

    Attributes:
        rule: ``given`` by folders, by a column or by the layout; ``by group``; or ``folds``.
        names: of given splits.
        seed: of the draw.
        shares: split -> share of the groups, beside the training split.
        folds: number of folds.
    """

    rule: Literal["given", "by group", "folds"] = "by group"
    names: tuple[str, ...] = ()
    seed: int = 0
    shares: Mapping[str, float] = field(default_factory=lambda: {"test": 0.2, "val": 0.1})
    folds: int = 5

    def as_json(self) -> dict[str, Any]:
        """Settings that decide the drawing of the splits, as JSON."""
        if self.rule == "given":
            return {"rule": self.rule, "names": list(self.names)}
        own: dict[str, Any] = {"folds": self.folds} if self.rule == "folds" else dict(self.shares)
        return {"rule": self.rule, "seed": self.seed, **own}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A declared data set.

    Attributes:
        name: name on the command line.
        path: the project file.
        root: folder of the data.
        title: title in tables.
        task: ``segmentation``, ``classification`` or ``detection``.
        layout: ``folders`` by templates, ``nnunet``, ``msd``, ``table`` of paths, or ``coco``.
        images: template of the images; of COCO, ``{case}`` is an image's ``file_name``.
        masks: template of the masks.
        table: path of the table, or of the COCO JSON, below the root; ``{split}`` where each has its own.
        columns: ``image``, ``mask``, ``class``, ``split``, ``group``, ``case`` -> column of the table.
        labels: name of a label -> its value in masks, the background first; of classes -> index; of COCO's
            categories -> id.
        modalities: names of a volume's modalities in the order of its channels; empty for images.
        channels: of images, 1 or 3; ``None`` takes any.
        values: least and greatest value of images with more than 8 bits.
        threshold: grey values of masks above it are the one structure; ``None`` takes values as they are.
        spacing: mm along the array's axes, ``pixel``, or ``file``.
        group: regular expression on case ids with one named part or capture; empty without.
        splits: how splits come about.
        metrics: ids of the columns' metrics, with ``@2mm`` for a tolerance.
        empty: metric id -> rule for empty masks.
        missing: ``worst`` or ``undefined``: what a failed or missing case scores.
        facts: licence, citation and homepage, as given.
        sha256: of all entries that decide a result.
    """

    name: str
    path: Path
    root: Path
    title: str
    task: TaskName
    layout: LayoutName
    images: str = ""
    masks: str = ""
    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    modalities: tuple[str, ...] = ()
    channels: int | None = None
    values: tuple[float, float] | None = None
    threshold: int | None = None
    spacing: tuple[float, ...] | Literal["pixel", "file"] = "pixel"
    group: str = ""
    splits: SplitRule = field(default_factory=SplitRule)
    metrics: tuple[str, ...] = ()
    empty: Mapping[str, str] = field(default_factory=dict)
    missing: Literal["worst", "undefined"] = "worst"
    facts: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""

    @property
    def splits_file(self) -> Path:
        """The file of the splits that were drawn, beside the project file."""
        return self.path.parent / f"{self.name}.splits.json"

    def error(self, entry: str, message: str, hint: str) -> MedbenchError:
        """The error for an entry of this declaration."""
        return _error(self.path, self.name, entry, message, hint)


def read_declaration(name: str, table: Mapping[str, Any], path: Path) -> Declaration:
    """The declaration of a ``[data.NAME]`` table.

    Args:
        name: of the data set.
        table: its entries.
        path: the project file, where relative paths start and which errors name.

    Raises:
        MedbenchError: ``declaration.name``, ``declaration.entry`` naming file, table and entry, or
            ``declaration.template``.
    """
    if not _NAME.fullmatch(name):
        raise MedbenchError(
            "declaration.name",
            f"{path}: [data.{name}] is no name of a data set.",
            "Use small letters, digits and single underscores, for example our_polyps.",
        )
    reader = _Reader(path, name, table)
    reader.check_entries()
    layout, task = reader.choice("layout", LAYOUTS, "folders"), reader.choice("task", TASKS, "segmentation")
    declaration = Declaration(
        name=name,
        path=path,
        root=(path.parent / at_home(reader.text("root", "."))).resolve(),
        title=reader.text("title", name),
        task=task,  # type: ignore[arg-type]
        layout=layout,  # type: ignore[arg-type]
        images=reader.text("images"),
        masks=reader.text("masks"),
        table=reader.text("table"),
        columns=reader.columns(),
        labels=reader.labels(task),
        modalities=reader.modalities(),
        channels=reader.channels(),
        values=reader.values(),
        threshold=reader.threshold(),
        spacing=reader.spacing(),
        group=reader.group(),
        splits=reader.splits(),
        metrics=tuple(str(one) for one in table.get("metrics", ())),
        empty=reader.empty(),
        missing=reader.choice("missing", MISSING, "worst"),  # type: ignore[arg-type]
        facts={key: str(table[key]) for key in ("license", "citation", "homepage") if key in table},
        sha256=sha256_json({key: table[key] for key in sorted(table) if key not in _COSMETIC}),
    )
    _check_layout(declaration)
    return declaration


def _check_layout(declaration: Declaration) -> None:
    """Refuse a layout without its templates, or a table without its columns."""
    if (declaration.layout == "coco") != (declaration.task == "detection"):
        hint = 'Boxes are read from COCO JSON: task = "detection" and layout = "coco".'
        raise declaration.error("task", f"is {declaration.task} with the layout {declaration.layout}", hint)
    if declaration.layout == "coco":
        _check_coco(declaration)
    if declaration.layout == "folders":
        check_template(declaration.images)
        if declaration.task == "segmentation":
            check_template(declaration.masks)
        elif "{class}" not in declaration.images:
            raise declaration.error("images", "has no {class}", 'For example images = "{class}/{case}.png".')
    if declaration.layout == "table":
        due = ("image", "mask" if declaration.task == "segmentation" else "class")
        lacking = [column for column in due if column not in declaration.columns]
        if not declaration.table or lacking:
            raise declaration.error(
                "columns",
                f"does not say which column is {' and '.join(lacking)}" if lacking else "has no table",
                'For example table = "cases.csv" and columns = { image = "path", mask = "mask_path" }.',
            )
    if declaration.layout in ("nnunet", "msd") and declaration.task != "segmentation":
        raise declaration.error("task", f"is {declaration.task}", f"{declaration.layout} holds label maps.")
    if declaration.task == "classification" and len(declaration.labels) == 1:
        raise declaration.error("labels", "names one class", "Name two classes or more.")


def _check_coco(declaration: Declaration) -> None:
    """Refuse COCO JSON without its place, and splits that do not fit it."""
    check_template(declaration.images)
    if not declaration.table:
        raise declaration.error("table", "is missing", 'For example table = "annotations.json".')
    of_splits, has_splits = "{split}" in declaration.table, declaration.splits.rule == "given"
    if of_splits != has_splits:
        hint = (
            'Each split has a JSON of its own: splits = ["train", "test"].'
            if of_splits
            else "One JSON holds all splits: give a rule by which they are drawn."
        )
        raise declaration.error("splits", "do not fit table", hint)
    for entry in ("empty", "missing"):
        if declaration.empty if entry == "empty" else declaration.missing != "worst":
            hint = "An image without a usable prediction counts as one without detections; leave it out."
            raise declaration.error(entry, "is no entry of boxes", hint)


class _Reader:
    """Entries of one table, with errors that name file, table and entry."""

    def __init__(self, path: Path, name: str, table: Mapping[str, Any]) -> None:
        self.path, self.name, self.table = path, name, table

    def error(self, entry: str, message: str, hint: str) -> MedbenchError:
        return _error(self.path, self.name, entry, message, hint)

    def check_entries(self) -> None:
        for entry, value in self.table.items():
            if entry not in _ENTRIES:
                hint = unknown_name("entry", entry, _ENTRIES).hint
                raise self.error(entry, "is no entry of a data set", hint)
            kinds = _ENTRIES[entry]
            if not isinstance(value, kinds) or isinstance(value, bool):
                names = " or ".join(one.__name__ for one in (kinds if isinstance(kinds, tuple) else (kinds,)))
                raise self.error(entry, f"is {value!r}", f"Give a {names}.")

    def text(self, entry: str, default: str = "") -> str:
        return str(self.table.get(entry, default))

    def choice(self, entry: str, choices: Sequence[str], default: str) -> str:
        value = self.text(entry, default)
        if value not in choices:
            raise self.error(entry, f"is '{value}'", f"Known: {', '.join(choices)}.")
        return value

    def columns(self) -> dict[str, str]:
        columns = {str(key): str(value) for key, value in self.table.get("columns", {}).items()}
        for key in columns:
            if key not in _COLUMNS:
                raise self.error("columns", f"names '{key}'", f"Known: {', '.join(_COLUMNS)}.")
        group = self.table.get("group")
        if isinstance(group, dict):
            columns["group"] = str(group.get("column", ""))
        return columns

    def labels(self, task: str) -> dict[str, int]:
        entries = self.table.get("labels", {})
        values = (
            {str(name): index for index, name in enumerate(entries)} if isinstance(entries, list) else entries
        )
        if len(values) != len(entries):
            raise self.error("labels", "names a label twice", "Give each label a name of its own.")
        most = LARGEST_ID if task == "detection" else 255
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
                hint = f"Values are whole numbers from 0 to {most}."
                raise self.error("labels", f"gives '{name}' the value {value!r}", hint)
        if len(set(values.values())) != len(values):
            raise self.error("labels", "gives two names to one value", "Give each label a value of its own.")
        labels = dict(sorted(values.items(), key=lambda entry: entry[1]))
        if task == "segmentation" and labels and 0 not in labels.values():
            labels = {"background": 0, **labels}
        return labels

    def modalities(self) -> tuple[str, ...]:
        value = self.table.get("modalities", ())
        return tuple(str(one) for one in (value.values() if isinstance(value, dict) else value))

    def channels(self) -> int | None:
        value = self.table.get("channels")
        if value not in (None, 1, 3):
            raise self.error("channels", f"is {value}", "Images have 1 channel (grey) or 3 (colour).")
        return value

    def values(self) -> tuple[float, float] | None:
        value = self.table.get("values")
        if value is None:
            return None
        if len(value) != 2 or not all(isinstance(one, int | float) for one in value) or value[0] >= value[1]:
            raise self.error("values", f"is {value!r}", "Give the least and the greatest value: [0, 4095].")
        return float(value[0]), float(value[1])

    def threshold(self) -> int | None:
        value = self.table.get("threshold")
        if value is not None and (not 0 <= value <= 254 or len(self.table.get("labels", ())) > 2):
            raise self.error("threshold", f"is {value}", "Give 0 to 254, for masks of one structure.")
        return value

    def spacing(self) -> tuple[float, ...] | Literal["pixel", "file"]:
        value = self.table.get("spacing", "file" if self.modalities() else "pixel")
        if value == "pixel" or value == "file":
            return value  # type: ignore[no-any-return]
        if (
            isinstance(value, list)
            and 2 <= len(value) <= 3
            and all(isinstance(one, int | float) and one > 0 for one in value)
        ):
            return tuple(float(one) for one in value)
        raise self.error(
            "spacing", f"is {value!r}", 'Give "pixel", "file", or mm along each axis: [0.5, 0.5].'
        )

    def group(self) -> str:
        value = self.table.get("group", "")
        if isinstance(value, dict):
            if set(value) != {"column"}:
                raise self.error("group", f"is {value!r}", 'Give a regular expression or { column = "…" }.')
            return ""
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise self.error("group", f"is no regular expression ({error})", "Correct it.") from error
        if value and pattern.groups != 1:
            raise self.error(
                "group", f"captures {counted(pattern.groups, 'part')}", "Capture one: (?P<patient>[^_]+)_.*"
            )
        return str(value)

    def splits(self) -> SplitRule:
        value = self.table.get("splits", {"rule": "by group"})
        if isinstance(value, list):
            return SplitRule("given", tuple(str(one) for one in value))
        if isinstance(value, str):
            value = {"rule": value}
        rule = value.get("rule", "by group")
        if rule == "given":
            return SplitRule("given", tuple(str(one) for one in value.get("names", ("train", "val", "test"))))
        if rule not in ("by group", "folds"):
            raise self.error("splits", f"has the rule '{rule}'", "Known: given, by group, folds.")
        keys = {"rule", "seed", "folds"} if rule == "folds" else {"rule", "seed", "test", "val"}
        wrong = [key for key in value if key not in keys]
        if wrong:
            raise self.error("splits", f"names '{wrong[0]}'", f"Known: {', '.join(sorted(keys))}.")
        seed, folds = value.get("seed", 0), value.get("folds", 5)
        if not isinstance(seed, int) or not isinstance(folds, int) or seed < 0 or folds < 2:
            raise self.error("splits", "has no such seed or folds", "Seeds are 0 or more, folds 2 or more.")
        shares = {name: value.get(name, least) for name, least in (("test", 0.2), ("val", 0.1))}
        fits = all(isinstance(share, int | float) and 0 <= share < 1 for share in shares.values())
        if not fits or not 0 < shares["test"] <= sum(shares.values()) < 1:
            raise self.error(
                "splits", "leaves no case to train or to test", "For example test = 0.2, val = 0.1."
            )
        return SplitRule(rule, (), seed, shares, folds)

    def empty(self) -> dict[str, str]:
        value = self.table.get("empty", {})
        return (
            {"*": value} if isinstance(value, str) else {str(key): str(rule) for key, rule in value.items()}
        )


def _error(path: Path, name: str, entry: str, message: str, hint: str) -> MedbenchError:
    return MedbenchError("declaration.entry", f"{path}, [data.{name}]: {entry} {message}.", hint)
