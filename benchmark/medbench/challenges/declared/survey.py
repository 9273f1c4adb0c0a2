"""A look at a folder: which layout it has, and the declaration that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from medbench.challenges.declared.items import read_data_set_file
from medbench.challenges.declared.own_table import own_path, read_own_table
from medbench.challenges.declared.splits import MEANINGS
from medbench.challenges.declared.survey_coco import Survey, survey_coco
from medbench.challenges.declared.survey_looks import add_looks
from medbench.challenges.declared.survey_pairs import survey_pairs, survey_prefixed
from medbench.challenges.declared.templates import files_below
from medbench.challenges.families.mr_volumes.files import check_axes
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.core.text import agreeing, counted, named
from medbench.io import images, nifti_mha, raster

_COLUMN_WORDS: Mapping[str, Sequence[str]] = {
    "image": ("image", "img", "image_path", "path", "filename", "file", "bild", "datei"),
    "mask": (
        "mask",
        "mask_path",
        "label_path",
        "segmentation",
        "seg",
        "seg_path",
        "annotation",
        "gt",
        "ground_truth",
        "maske",
        "segmentierung",
    ),
    "class": ("class", "label", "diagnosis", "target", "category", "klasse", "diagnose"),
    "split": ("split", "fold", "set", "subset", "partition"),
    "group": ("patient", "patient_id", "group", "subject", "subject_id", "case_group", "video", "lesion_id"),
    "case": ("id", "case", "case_id", "image_id"),
}
UNREAD = (".gif", ".webp", ".jp2", ".j2k", ".heic", ".ppm", ".pgm", ".dcm", ".dicom", ".nhdr", ".mnc", ".npz")
"""Types of images and volumes that own data cannot have."""
FIRST = 5


def survey(folder: Path) -> Survey:
    """Look at a folder; nothing is written.

    Raises:
        MedbenchError: ``data.missing``, ``data.layout_unknown`` with what was looked for, ``data.not_3d`` for
            volume files of two axes, or as :func:`medbench.challenges.declared.survey_coco.survey_coco`.
    """
    if not folder.is_dir():
        raise MedbenchError("data.missing", f"{folder}: there is no such folder.", "Check the folder.")
    names = files_below(folder)
    for look in (_data_set_json, survey_coco, _table, survey_pairs, _class_folders):
        result = look(folder, names)
        if result is not None:
            _add_unread(result, names)
            return _of_planes_refused(result, folder, names)
    for name in names:
        if Path(name).suffix.lower() in (".csv", ".tsv") and "/" not in name:
            read_own_table(folder / name)  # a table that cannot be read is the likely reason
    by_prefix = survey_prefixed(folder, names)
    if by_prefix is not None:
        _add_unread(by_prefix, names)
        return _of_planes_refused(by_prefix, folder, names)
    if any(name.startswith("imagesTr/") for name in names):
        raise MedbenchError(
            "data.layout_unknown",
            f"{folder}: has imagesTr, as nnU-Net and MSD lay data out, and no dataset.json.",
            "Add dataset.json, which names the channels and the labels.",
        )
    endings = Counter(images.suffix_of(Path(name)) for name in names).most_common(4)
    kinds = ", ".join(f"{count} {ending}" for ending, count in endings)
    raise MedbenchError(
        "data.layout_unknown",
        f"{folder}: {counted(len(names), 'file')} ({kinds or 'none'}) in no known layout.",
        "Known: images/ and masks/ (or x.png and x_mask.png or mask_x.png), nnU-Net, MSD, COCO JSON, a CSV "
        "of paths, folders of classes.",
    )


def _add_unread(result: Survey, names: Sequence[str]) -> None:
    """Images of types that are not read, among the faults: else they would be missing without a word."""
    unread = [name for name in names if Path(name).suffix.lower() in UNREAD]
    if unread:
        are = "file is of a type" if len(unread) == 1 else "files are of types"
        result.faults.append(
            f"{len(unread)} {are} that are not read: {named(unread)}. Convert them to PNG or NIfTI."
        )


def _of_planes_refused(result: Survey, folder: Path, names: Sequence[str]) -> Survey:
    """The survey, refused for volume files of two axes, which no network for volumes takes.

    The first files stand for all.
    """
    if not result.entries.get("modalities"):
        return result
    volumes = [folder / name for name in names if images.suffix_of(Path(name)) in images.VOLUME_SUFFIXES]
    for path in volumes[:FIRST]:
        volume = guarded(path.name, lambda path=path: nifti_mha.read_geometry(path))  # type: ignore[misc]
        if not isinstance(volume, Failure) and volume.array.ndim < 3:
            check_axes(volume, path)
    return result


def _data_set_json(folder: Path, names: Sequence[str]) -> Survey | None:
    if "dataset.json" not in names:
        return None
    facts = read_data_set_file(folder / "dataset.json")
    layout = "nnunet" if not facts.training else "msd"
    result = Survey()
    suffix = facts.suffix if layout == "nnunet" else ".nii.gz"
    label_maps = [name for name in names if name.startswith("labelsTr/")]
    test_maps = [name for name in names if name.startswith("labelsTs/")]
    result.entries = {"task": "segmentation", "layout": layout, "labels": dict(facts.labels)}
    if suffix in images.VOLUME_SUFFIXES:
        result.entries |= {"modalities": list(facts.modalities), "spacing": "file"}
    else:
        result.entries["spacing"] = "pixel"
    result.entries["splits"] = (
        ["train", "test"] if test_maps else {"rule": "by group", "seed": 0, "test": 0.2, "val": 0.1}
    )
    test_images = [name for name in names if name.startswith("imagesTs/")] if not test_maps else []
    title = "nnU-Net's layout" if layout == "nnunet" else "MSD's layout"
    result.lines = [
        f"{title}: {counted(len(label_maps), 'label map')} to learn from, {len(test_maps)} to test, "
        f"modalities {', '.join(facts.modalities)}, labels {', '.join(facts.labels)}."
    ]
    if test_images:
        have = agreeing(len(test_images), "file in imagesTs has", "files in imagesTs have")
        are = agreeing(len(test_images), "is", "are")
        result.lines.append(f"{len(test_images)} {have} no labels and {are} left out.")
    return result


def _table(folder: Path, names: Sequence[str]) -> Survey | None:
    for name in names:
        if Path(name).suffix.lower() not in (".csv", ".tsv") or "/" in name:
            continue
        rows = guarded(name, lambda name=name: read_own_table(folder / name))  # type: ignore[misc]
        if isinstance(rows, Failure) or not rows:
            continue
        columns = _columns(folder, rows)
        if "image" in columns and ("mask" in columns or "class" in columns):
            return _of_table(folder, name, rows, columns)
        if "image" in columns:
            raise MedbenchError(
                "data.layout_unknown",
                f"{folder / name}: has a column of images ({columns['image']}) and none of masks or classes, "
                f"only {named(list(rows[0]))}.",
                "Call the column mask (paths) or class (names).",
            )
    return None


def _columns(folder: Path, rows: Sequence[dict[str, str]]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for key, words in _COLUMN_WORDS.items():
        column = next((one for word in words for one in rows[0] if one.lower() == word), None)
        if column is None or column in columns.values():
            continue
        path = own_path(rows[0][column])
        if key not in ("image", "mask") or (path and (folder / path).is_file()):
            columns[key] = column
    return columns


def _of_table(folder: Path, name: str, rows: Sequence[dict[str, str]], columns: dict[str, str]) -> Survey:
    result = Survey(lines=[f"{name}: {counted(len(rows), 'row')}, columns {', '.join(columns.values())}."])
    task = "segmentation" if "mask" in columns else "classification"
    if task == "segmentation":
        columns.pop("class", None)
        add_looks(
            result,
            *([folder / own_path(row[columns[role]]) for row in rows] for role in ("image", "mask")),
        )
    else:
        classes = sorted({row[columns["class"]] for row in rows if row[columns["class"]]})
        result.entries["labels"] = classes
        result.lines.append(f"{len(classes)} {agreeing(len(classes), 'class', 'classes')}: {named(classes)}.")
    group = columns.pop("group", None)
    splits = sorted({row[columns["split"]] for row in rows}) if "split" in columns else []
    result.entries = {
        "task": task, "layout": "table", "table": name, "columns": columns, **result.entries,
        **({"group": {"column": group}} if group else {}),
        "splits": splits or {"rule": "by group", "seed": 0, "test": 0.2, "val": 0.1},
    }  # fmt: skip
    return result


def _class_folders(folder: Path, names: Sequence[str]) -> Survey | None:
    readable = [Path(name) for name in names if images.suffix_of(Path(name)) in raster.SUFFIXES]
    depth = {len(path.parts) for path in readable}
    if depth == {2}:
        splits, template = list[str](), "{class}/{case}.*"
    elif depth == {3} and all(path.parts[0].lower() in MEANINGS for path in readable):
        splits, template = sorted({path.parts[0] for path in readable}), "{split}/{class}/{case}.*"
    else:
        return None
    counts = Counter(path.parts[-2] for path in readable)
    if len(counts) < 2:
        return None
    parts = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    entries = {
        "task": "classification", "layout": "folders", "images": template, "labels": sorted(counts),
        "splits": splits if len(splits) > 1 else {"rule": "by group", "seed": 0, "test": 0.2, "val": 0.1},
    }  # fmt: skip
    return Survey(entries, [f"{len(readable)} images in folders of {len(counts)} classes: {parts}."])
