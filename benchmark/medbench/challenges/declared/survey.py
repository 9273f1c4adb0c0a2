"""A look at a folder: which layout it has, and the declaration that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from medbench.challenges.declared.items import read_data_set_file
from medbench.challenges.declared.splits import MEANINGS, named
from medbench.challenges.declared.survey_coco import Survey, survey_coco
from medbench.challenges.declared.templates import files_below
from medbench.challenges.families.mr_volumes.files import check_axes
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.core.label_values import label_values
from medbench.io import images, nifti_mha, raster
from medbench.io.tables import read_table

IMAGE_WORDS = ("images", "image", "img", "imgs", "original", "input", "inputs", "frames")
MASK_WORDS = ("masks", "mask", "labels", "label", "annotations", "ground truth", "groundtruth", "gt",
              "segmentation", "segmentations")  # fmt: skip
_COLUMN_WORDS = {
    "image": ("image", "img", "image_path", "path", "filename", "file"),
    "mask": ("mask", "mask_path", "label_path", "segmentation", "annotation"),
    "class": ("class", "label", "diagnosis", "target", "category"),
    "split": ("split", "fold", "set", "subset", "partition"),
    "group": ("patient", "patient_id", "group", "subject", "subject_id", "case_group", "video", "lesion_id"),
    "case": ("id", "case", "case_id", "image_id"),
}
MOST_READ, FIRST = 200, 5


def survey(folder: Path) -> Survey:
    """Look at a folder; nothing is written.

    Raises:
        MedbenchError: ``data.missing``, ``data.layout_unknown`` with what was looked for, ``data.not_3d`` for
            volume files of two axes, or as :func:`medbench.challenges.declared.survey_coco.survey_coco`.
    """
    if not folder.is_dir():
        raise MedbenchError("data.missing", f"{folder}: there is no such folder.", "Check the folder.")
    names = files_below(folder)
    for look in (_data_set_json, survey_coco, _table, _pairs, _class_folders):
        result = look(folder, names)
        if result is not None:
            if result.entries.get("modalities"):
                _refuse_planes(folder, names)
            return result
    endings = Counter(images.suffix_of(Path(name)) for name in names).most_common(4)
    raise MedbenchError(
        "data.layout_unknown",
        f"{folder}: {len(names)} files ({', '.join(f'{n} {end}' for end, n in endings) or 'none'}) in no "
        "known layout.",
        "Known: images/ and masks/ (or x.png and x_mask.png), nnU-Net, MSD, COCO JSON, a CSV of paths, "
        "folders of classes.",
    )


def _refuse_planes(folder: Path, names: Sequence[str]) -> None:
    """Refuse volume files of two axes, which no network for volumes takes; the first files stand for all."""
    volumes = [folder / name for name in names if images.suffix_of(Path(name)) in images.VOLUME_SUFFIXES]
    for path in volumes[:FIRST]:
        volume = guarded(path.name, lambda path=path: nifti_mha.read_geometry(path))  # type: ignore[misc]
        if not isinstance(volume, Failure) and volume.array.ndim < 3:
            check_axes(volume, path)


def _data_set_json(folder: Path, names: Sequence[str]) -> Survey | None:
    if "dataset.json" not in names:
        return None
    facts = read_data_set_file(folder / "dataset.json")
    layout = "nnunet" if not facts.training else "msd"
    result = Survey()
    suffix = facts.suffix if layout == "nnunet" else ".nii.gz"
    labelled = [name for name in names if name.startswith("labelsTr/")]
    tested = [name for name in names if name.startswith("labelsTs/")]
    result.entries = {"task": "segmentation", "layout": layout, "labels": dict(facts.labels)}
    if suffix in images.VOLUME_SUFFIXES:
        result.entries |= {"modalities": list(facts.modalities), "spacing": "file"}
    else:
        result.entries["spacing"] = "pixel"
    result.entries["splits"] = (
        ["train", "test"] if tested else {"rule": "by group", "seed": 0, "test": 0.2, "val": 0.1}
    )
    unlabelled = [name for name in names if name.startswith("imagesTs/")] if not tested else []
    title = "nnU-Net's layout" if layout == "nnunet" else "MSD's layout"
    result.told = [
        f"{title}: {len(labelled)} label maps to learn from, {len(tested)} to test, "
        f"modalities {', '.join(facts.modalities)}, labels {', '.join(facts.labels)}."
    ]
    if unlabelled:
        what = "file in imagesTs has" if len(unlabelled) == 1 else "files in imagesTs have"
        left_out = "is" if len(unlabelled) == 1 else "are"
        result.told.append(f"{len(unlabelled)} {what} no labels and {left_out} left out.")
    return result


def _table(folder: Path, names: Sequence[str]) -> Survey | None:
    for name in names:
        if Path(name).suffix.lower() not in (".csv", ".tsv") or "/" in name:
            continue
        rows = guarded(name, lambda name=name: read_table(folder / name))  # type: ignore[misc]
        if isinstance(rows, Failure) or not rows:
            continue
        columns = _columns(folder, rows)
        if "image" in columns and ("mask" in columns or "class" in columns):
            return _of_table(folder, name, rows, columns)
    return None


def _columns(folder: Path, rows: Sequence[dict[str, str]]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for key, words in _COLUMN_WORDS.items():
        column = next((one for word in words for one in rows[0] if one.lower() == word), None)
        if column is None or column in columns.values():
            continue
        if key not in ("image", "mask") or (rows[0][column] and (folder / rows[0][column]).is_file()):
            columns[key] = column
    return columns


def _of_table(folder: Path, name: str, rows: Sequence[dict[str, str]], columns: dict[str, str]) -> Survey:
    result = Survey(told=[f"{name}: {len(rows)} rows, columns {', '.join(columns.values())}."])
    task = "segmentation" if "mask" in columns else "classification"
    if task == "segmentation":
        columns.pop("class", None)
        _add_looks(
            result,
            [folder / row[columns["image"]] for row in rows],
            [folder / row[columns["mask"]] for row in rows],
        )
    else:
        classes = sorted({row[columns["class"]] for row in rows if row[columns["class"]]})
        result.entries["labels"] = classes
        result.told.append(f"{len(classes)} classes: {named(classes)}.")
    group = columns.pop("group", None)
    splits = sorted({row[columns["split"]] for row in rows}) if "split" in columns else []
    result.entries = {
        "task": task, "layout": "table", "table": name, "columns": columns, **result.entries,
        **({"group": {"column": group}} if group else {}),
        "splits": splits or {"rule": "by group", "seed": 0, "test": 0.2, "val": 0.1},
    }  # fmt: skip
    return result


def _pairs(folder: Path, names: Sequence[str]) -> Survey | None:
    """Images and masks, in two trees or side by side."""
    readable = [name for name in names if images.suffix_of(Path(name)) in images.SUFFIXES]
    template = _two_trees(readable) or _side_by_side(readable)
    if template is None:
        return None
    image_of, mask_of, pattern = template
    masks = {key: name for name in readable if (key := mask_of(name)) is not None}
    pictures = {key: name for name in readable if (key := image_of(name)) is not None}
    both = sorted(set(masks) & set(pictures))
    alone, without = sorted(set(pictures) - set(masks)), sorted(set(masks) - set(pictures))
    if not both:
        return None
    result = Survey(
        told=[
            f"{len(both)} images with masks, as {pattern(pictures[both[0]])} and {pattern(masks[both[0]])}."
        ]
    )
    if alone:
        have = "image has" if len(alone) == 1 else "images have"
        result.faults.append(f"{len(alone)} {have} no mask: {named([pictures[key] for key in alone])}.")
    if without:
        have = "mask has" if len(without) == 1 else "masks have"
        result.faults.append(f"{len(without)} {have} no image: {named([masks[key] for key in without])}.")
    endings = [{images.suffix_of(Path(files[key])) for key in both} for files in (pictures, masks)]
    splits = sorted({key[0] for key in both if key[0]})
    templates = [
        pattern(files[both[0]]) if len(ends) == 1 else _any_ending(pattern(files[both[0]]))
        for files, ends in zip((pictures, masks), endings, strict=True)
    ]
    _add_looks(result, [folder / pictures[key] for key in both], [folder / masks[key] for key in both])
    result.entries = {
        "task": "segmentation", "layout": "folders", "images": templates[0], "masks": templates[1],
        **result.entries,
        "splits": splits if len(splits) > 1 else {"rule": "by group", "seed": 0, "test": 0.2, "val": 0.1},
    }  # fmt: skip
    return result


def _any_ending(template: str) -> str:
    return template.removesuffix(images.suffix_of(Path(template))) + ".*"


_Key = tuple[str, str]
_Templates = tuple[Callable[[str], _Key | None], Callable[[str], _Key | None], Callable[[str], str]]


def _two_trees(names: Sequence[str]) -> _Templates | None:
    """Keys of images and masks in folders that are called so."""
    folders = {part.lower() for name in names for part in Path(name).parts[:-1]}
    image_word = next((word for word in IMAGE_WORDS if word in folders), None)
    mask_word = next((word for word in MASK_WORDS if word in folders), None)
    if image_word is None or mask_word is None:
        return None
    suffix = _mask_suffix(names, mask_word)

    def key(name: str, word: str, ending: str = "") -> _Key | None:
        parts = Path(name).parts[:-1]
        if word not in [part.lower() for part in parts]:
            return None
        return _split_of(parts), _stem(name).removesuffix(ending)

    def pattern(name: str) -> str:
        parts = ["{split}" if part.lower() in MEANINGS else part for part in Path(name).parts[:-1]]
        ending = suffix if key(name, mask_word) is not None else ""
        return "/".join((*parts, f"{{case}}{ending}{images.suffix_of(Path(name))}"))

    return (lambda name: key(name, image_word)), (lambda name: key(name, mask_word, suffix)), pattern


def _mask_suffix(names: Sequence[str], mask_word: str) -> str:
    """What names of masks have after those of their images: ``_mask`` and the like; empty for nothing."""
    own = [_stem(name) for name in names if mask_word in [part.lower() for part in Path(name).parts[:-1]]]
    endings = [f"_{word}" for word in (*MASK_WORDS, "seg")]
    return next((end for end in endings if own and all(stem.lower().endswith(end) for stem in own)), "")


def _side_by_side(names: Sequence[str]) -> _Templates | None:
    """Keys of ``x.png`` and ``x_mask.png`` in one folder."""
    endings = [f"_{word}" for word in (*MASK_WORDS, "seg")]
    counts = Counter(end for name in names for end in endings if _stem(name).endswith(end))
    if not counts:
        return None
    ending = counts.most_common(1)[0][0]

    def key(name: str, mask: bool) -> _Key | None:
        stem = _stem(name)
        if stem.endswith(ending) != mask:
            return None
        return _split_of(Path(name).parts[:-1]), stem.removesuffix(ending)

    def pattern(name: str) -> str:
        parts = ["{split}" if part.lower() in MEANINGS else part for part in Path(name).parts[:-1]]
        own = ending if _stem(name).endswith(ending) else ""
        return "/".join((*parts, f"{{case}}{own}{images.suffix_of(Path(name))}"))

    return (lambda name: key(name, False)), (lambda name: key(name, True)), pattern


def _stem(name: str) -> str:
    return Path(name).name.removesuffix(Path(name).name[-len(images.suffix_of(Path(name))) :])


def _split_of(parts: Sequence[str]) -> str:
    return next((part for part in parts if part.lower() in MEANINGS), "")


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


def _add_looks(result: Survey, pictures: Iterable[Path], masks: Iterable[Path]) -> None:
    """Channels, bits and label values of images and masks, into entries and sentences."""
    first_pictures, first_masks = list(pictures)[:MOST_READ], list(masks)[:MOST_READ]
    if images.suffix_of(first_pictures[0]) in images.VOLUME_SUFFIXES:
        result.entries |= {"modalities": ["image"], "spacing": "file"}
    else:
        _add_channels(result, first_pictures)
    values = Counter[int]()
    for path in first_masks:
        labels = guarded(path.name, lambda path=path: images.read_labels(path))  # type: ignore[misc]
        if isinstance(labels, Failure):
            result.faults.append(labels.reason)
        else:
            values.update({int(value): 1 for value in label_values(labels.array)})
    structures = sorted(value for value in values if value)
    if len(structures) > 1 and max(structures) == 255 and len(structures) > 8:
        result.entries |= {"labels": {"structure": 255}, "threshold": 127}
        result.told.append(f"Masks hold {len(structures) + 1} grey values: borders are cut at 127.")
        return
    names = {("structure" if len(structures) == 1 else f"label_{value}"): value for value in structures}
    result.entries["labels"] = names
    if not names:
        result.faults.append("No mask marks anything.")
    result.told.append(f"Masks hold the values {', '.join(map(str, sorted(values)))}.")


def _add_channels(result: Survey, pictures: Sequence[Path]) -> None:
    channels: dict[int, list[str]] = {}
    deep = False
    for path in pictures:
        image = guarded(path.name, lambda path=path: raster.read_image(path))  # type: ignore[misc]
        if isinstance(image, Failure):
            result.faults.append(image.reason)
            continue
        channels.setdefault(1 if image.ndim == 2 else image.shape[2], []).append(path.name)
        deep = deep or image.dtype != np.uint8
    if len(channels) > 1:
        fewer = min(channels.values(), key=len)
        parts = " and ".join(f"{len(files)} with {count}" for count, files in sorted(channels.items()))
        result.faults.append(f"Images have mixed numbers of channels: {parts}, the fewer are {named(fewer)}.")
    elif channels:
        result.entries["channels"] = next(iter(channels))
        count = next(iter(channels))
        result.told.append(f"Images have {count} channel{'' if count == 1 else 's'}.")
    if deep:
        result.entries["values"] = [0, 65535]
        result.told.append(
            "Images have more than 8 bits. values = [0, 65535] in the declaration are black and white; "
            "correct them where the camera fills less."
        )
    result.entries["spacing"] = "pixel"
