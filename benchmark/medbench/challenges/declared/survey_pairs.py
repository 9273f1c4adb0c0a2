"""A look at a folder of images with masks: in two trees, side by side, or in a folder for each case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench.challenges.declared.splits import MEANINGS
from medbench.challenges.declared.survey_coco import Survey
from medbench.challenges.declared.survey_looks import add_looks
from medbench.core.errors import MedbenchError
from medbench.core.text import agreeing, composed, counted, named
from medbench.io import images

IMAGE_WORDS = ("images", "image", "img", "imgs", "original", "input", "inputs", "frames", "bilder", "bild")
MASK_WORDS = ("masks", "mask", "labels", "label", "annotations", "ground truth", "groundtruth", "gt",
              "segmentation", "segmentations", "masken", "maske")  # fmt: skip
MASK_ENDINGS = (*(f"_{word}" for word in MASK_WORDS), "_seg")
IMAGE_ENDINGS = ("_image", "_img")
MASK_STARTS = (*(f"{word}_" for word in MASK_WORDS), "seg_")
IMAGE_STARTS = (*(f"{word}_" for word in IMAGE_WORDS), "im_")
FEW_GROUPS, MANY_IMAGES = 10, 10
"""Folders below which, and images in each from which, folders look like hospitals rather than patients."""
SPLIT, GROUP = "{split}", "{group}"


@dataclass(frozen=True, slots=True)
class _File:
    """An image or a mask.

    Attributes:
        name: path below the folder.
        folders: those that it lies in; without the case's own, where each case has one.
        case: name of the case.
        tail: what follows the folders, with ``{case}`` and without suffix.
        apart: path of the folders that images and masks share.
    """

    name: str
    folders: tuple[str, ...]
    case: str
    tail: str
    apart: str

    @property
    def split(self) -> str:
        """The split that a folder names; empty where none does."""
        return next((part for part in self.folders if part.lower() in MEANINGS), "")


_Sides = tuple[list[_File], list[_File]]
_Key = tuple[str, str]


def survey_pairs(folder: Path, names: Sequence[str]) -> Survey | None:
    """The declaration of images with masks; ``None`` where the folder holds none.

    Raises:
        MedbenchError: ``data.layout_unknown`` where no template says in which folders they lie, or where
            images and masks share no name.
    """
    readable = _readable(names)
    trees = _two_trees(readable)
    result = _survey(folder, trees or _case_folders(readable) or _side_by_side(readable))
    if result is None and trees:
        raise _unpaired(folder, trees)
    return result


def survey_prefixed(folder: Path, names: Sequence[str]) -> Survey | None:
    """The declaration of images with masks whose names begin with ``mask_``; ``None`` without any.

    Raises:
        MedbenchError: as :func:`survey_pairs`.
    """
    return _survey(folder, _prefixed(_readable(names)))


def _readable(names: Sequence[str]) -> list[str]:
    return [name for name in names if images.suffix_of(Path(name)) in images.SUFFIXES]


def _survey(folder: Path, sides: _Sides | None) -> Survey | None:
    pictures, masks = _by_key(sides) if sides else ({}, {})
    both = sorted(set(masks) & set(pictures), key=lambda key: pictures[key].name)
    if not both:
        return None
    pairs = [pictures[key] for key in both], [masks[key] for key in both]
    templates = _templates(folder, pairs)
    images_text = agreeing(len(both), "image with a mask", "images with masks")
    result = Survey(lines=[f"{len(both)} {images_text}, as {templates[0]} and {templates[1]}."])
    if GROUP in templates[0]:
        place = templates[0].split("/").index(GROUP)
        groups = sorted({one.folders[place] for one in pairs[0]})
        are = agreeing(len(groups), "folder is the group", "folders are the groups")
        result.groups.append(f"{len(groups)} {are}, each kept in one split: {named(groups)}.")
        if len(groups) < FEW_GROUPS and len(both) >= MANY_IMAGES * len(groups):
            result.groups.append(
                "These are few. Where a folder is a hospital and not a patient, name the patient by --group, "
                f"a regular expression on names such as {groups[0]}/{pairs[0][0].case}."
            )
    for own, other, what in ((pictures, masks, ("image", "mask")), (masks, pictures, ("mask", "image"))):
        alone = sorted(own[key].name for key in set(own) - set(other))
        if alone:
            have = agreeing(len(alone), f"{what[0]} has", f"{what[0]}s have")
            result.faults.append(f"{len(alone)} {have} no {what[1]}: {named(alone)}.")
    splits = sorted({one.split for one in pairs[0] if one.split})
    add_looks(result, *([folder / one.name for one in side] for side in pairs))
    result.entries = {
        "task": "segmentation", "layout": "folders", "images": templates[0], "masks": templates[1],
        **result.entries,
        "splits": splits if len(splits) > 1 else {"rule": "by group", "seed": 0, "test": 0.2, "val": 0.1},
    }  # fmt: skip
    return result


def _unpaired(folder: Path, trees: _Sides) -> MedbenchError:
    """The error for folders of images and of masks that share no name."""
    pictures, masks = (sorted(one.name for one in side) for side in trees)
    return MedbenchError(
        "data.layout_unknown",
        f"{folder}: of {counted(len(pictures), 'image')} and {counted(len(masks), 'mask')} none share a "
        f"name, such as {pictures[0]} and {masks[0]}.",
        "Name each mask as its image (x.png, or x_mask.png), or declare them by a CSV with the columns image "
        "and mask.",
    )


def _by_key(sides: _Sides) -> tuple[Mapping[_Key, _File], Mapping[_Key, _File]]:
    """Images and masks by split and case; by all folders that they share where cases repeat."""
    loose = [{(one.split, composed(one.case)): one for one in side} for side in sides]
    if all(len(index) == len(side) for index, side in zip(loose, sides, strict=True)):
        return loose[0], loose[1]
    pictures, masks = ({(one.apart, composed(one.case)): one for one in side} for side in sides)
    return pictures, masks


def _templates(folder: Path, sides: _Sides) -> tuple[str, str]:
    """Templates of images and masks.

    Raises:
        MedbenchError: ``data.layout_unknown``.
    """
    pictures, masks = (_template(side) for side in sides)
    if pictures is None or masks is None or (GROUP in pictures) != (GROUP in masks):
        folders = sorted({"/".join(one.folders) for side in sides for one in side})
        lie = agreeing(len(sides[0]), "image with a mask lies", "images with masks lie")
        raise MedbenchError(
            "data.layout_unknown",
            f"{folder}: {len(sides[0])} {lie} in {counted(len(folders), 'folder')} ({named(folders)}), which "
            "no one template names.",
            "Put them into images/ and masks/, with a folder a patient in both or above both, or declare "
            "them by a CSV of paths.",
        )
    return pictures, masks


def _template(side: Sequence[_File]) -> str | None:
    """The template of some files: one folder that differs stands for the group; ``None`` where more do."""
    tails = {one.tail for one in side}
    patterns = sorted({_pattern(one.folders) for one in side})
    if len(tails) > 1 or len({len(pattern) for pattern in patterns}) > 1:
        return None
    differing = [place for place, parts in enumerate(zip(*patterns, strict=True)) if len({*parts}) > 1]
    if len(differing) > 1:
        return None
    folders = list(patterns[0])
    for place in differing:
        folders[place] = GROUP
    endings = {images.suffix_of(Path(one.name)) for one in side}
    return "/".join((*folders, tails.pop() + (endings.pop() if len(endings) == 1 else ".*")))


def _pattern(folders: Sequence[str]) -> tuple[str, ...]:
    return tuple(SPLIT if part.lower() in MEANINGS else part for part in folders)


def _two_trees(names: Sequence[str]) -> _Sides | None:
    """Images and masks in folders that are called so."""
    folders = {part.lower() for name in names for part in Path(name).parts[:-1]}
    image_word = next((word for word in IMAGE_WORDS if word in folders), None)
    mask_word = next((word for word in MASK_WORDS if word in folders), None)
    if image_word is None or mask_word is None:
        return None
    ending = _shared_ending(name for name in names if mask_word in _lower_folders(name))
    pictures, masks = list[_File](), list[_File]()
    for name in names:
        if mask_word in _lower_folders(name):
            masks.append(_in_tree(name, mask_word, ending))
        elif image_word in _lower_folders(name):
            pictures.append(_in_tree(name, image_word, ""))
    return pictures, masks


def _lower_folders(name: str) -> list[str]:
    return [part.lower() for part in Path(name).parts[:-1]]


def _in_tree(name: str, word: str, ending: str) -> _File:
    parts, place = Path(name).parts[:-1], _lower_folders(name).index(word)
    case, own = _cut(_stem(name), ending)
    return _File(name, parts, case, f"{{case}}{own}", "/".join(parts[:place] + parts[place + 1 :]))


def _cut(stem: str, ending: str) -> tuple[str, str]:
    """A name before an ending, and the ending in the letters that the name has."""
    place = len(stem) - len(ending) if stem.lower().endswith(ending) else len(stem)
    return stem[:place], stem[place:]


def _shared_ending(names: Iterable[str], endings: Sequence[str] = MASK_ENDINGS) -> str:
    """What all names end with: of masks ``_mask`` and the like; empty for nothing."""
    stems = [_stem(name).lower() for name in names]
    fitting = (end for end in endings if stems and all(stem.endswith(end) for stem in stems))
    return next(fitting, "")


def _case_folders(names: Sequence[str]) -> _Sides | None:
    """``CASE/image.png`` and ``CASE/mask.png``."""
    pictures, masks = list[_File](), list[_File]()
    for name in names:
        parts, stem = Path(name).parts[:-1], _stem(name)
        side = {**dict.fromkeys(IMAGE_WORDS, pictures), **dict.fromkeys(MASK_WORDS, masks)}.get(stem.lower())
        if side is not None and parts:
            side.append(_File(name, parts[:-1], parts[-1], f"{{case}}/{stem}", "/".join(parts[:-1])))
    return (pictures, masks) if pictures and masks else None


def _side_by_side(names: Sequence[str]) -> _Sides | None:
    """``x.png`` or ``x_image.png``, and ``x_mask.png``, in one folder."""
    counts = Counter(end for name in names for end in MASK_ENDINGS if _stem(name).lower().endswith(end))
    if not counts:
        return None
    ending = counts.most_common(1)[0][0]
    of_images = _shared_ending(
        (name for name in names if not _stem(name).lower().endswith(ending)), IMAGE_ENDINGS
    )
    pictures, masks = list[_File](), list[_File]()
    for name in names:
        parts, stem = Path(name).parts[:-1], _stem(name)
        is_mask = stem.lower().endswith(ending)
        case, own = _cut(stem, ending if is_mask else of_images)
        (masks if is_mask else pictures).append(_File(name, parts, case, f"{{case}}{own}", "/".join(parts)))
    return pictures, masks


def _prefixed(names: Sequence[str]) -> _Sides | None:
    """``x.png`` or ``image_x.png``, and ``mask_x.png``, in one folder."""
    counts = Counter(
        start for name in names for start in MASK_STARTS if _stem(name).lower().startswith(start)
    )
    if not counts:
        return None
    of_masks = counts.most_common(1)[0][0]
    others = [stem for name in names if not (stem := _stem(name).lower()).startswith(of_masks)]
    of_images = next((start for start in IMAGE_STARTS if all(stem.startswith(start) for stem in others)), "")
    pictures, masks = list[_File](), list[_File]()
    for name in names:
        parts, stem = Path(name).parts[:-1], _stem(name)
        is_mask = stem.lower().startswith(of_masks)
        place = len(of_masks if is_mask else of_images)
        file = _File(name, parts, stem[place:], f"{stem[:place]}{{case}}", "/".join(parts))
        (masks if is_mask else pictures).append(file)
    return pictures, masks


def _stem(name: str) -> str:
    path = Path(name)
    return path.name.removesuffix(path.name[-len(images.suffix_of(path)) :])
