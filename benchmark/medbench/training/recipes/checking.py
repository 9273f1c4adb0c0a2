"""Checks of a recipe's values, so that a record names only what was used."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

COUNTS = frozenset(
    ("image_size", "batch_size", "epochs", "patches", "steps", "validation_steps", "base_features")
)
"""Settings that are 1 or more; all other numbers are 0 or more."""
SHARES = frozenset(("structure_share", "label_smoothing", "erasing"))
"""Settings that are shares, from 0 to 1."""
_RAND_AUGMENT = re.compile(r"(m|n|mmax|inc)\d+|(mstd|p)\d+(\.\d+)?|t(weights|3a|3aw|original)?")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def check_settings(recipe: DataclassInstance, plan: Collection[str] = ()) -> None:
    """Refuse values that a recipe's settings cannot take, with the nearest names.

    Args:
        recipe: the recipe.
        plan: counts that may be 0, for a number that is planned from the data.

    Raises:
        MedbenchError: ``recipe.setting`` naming the setting, its value and what is known.
    """
    for name, kind in typing.get_type_hints(type(recipe)).items():
        value = getattr(recipe, name)
        options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        if any(_is_tuple(option) for option in options):
            continue
        if typing.get_origin(kind) is Literal:
            _check_name(name, value, typing.get_args(kind))
        elif kind in _WORDS:
            _check_number(name, value, kind, 1 if name in COUNTS and name not in plan else 0)
        if name == "rand_augment" and value:
            _check_rand_augment(value)


def check_budget(cpu_minutes: float, max_steps: int) -> None:
    """Refuse a stated budget without the steps that were planned for it.

    Raises:
        MedbenchError: ``recipe.setting``.
    """
    if cpu_minutes and not max_steps:
        raise _refused(
            "cpu_minutes",
            cpu_minutes,
            "ends no training: it states what max_steps were planned to take",
            "Give max_steps too, or end the training by max_minutes.",
        )


def check_scales(least: float, most: float) -> None:
    """Refuse a range of scales without any number in it.

    Raises:
        MedbenchError: ``recipe.setting``.
    """
    if least > most:
        raise _refused(
            "least_scale", least, f"is above most_scale={most}", "Give both, the smaller as least_scale."
        )


def _check_rand_augment(text: str) -> None:
    """Refuse parts that timm would pass over or stumble on."""
    first, *parts = text.split("-")
    wrong = [first] if first != "rand" else [part for part in parts if not _RAND_AUGMENT.fullmatch(part)]
    if wrong:
        raise _refused(
            "rand_augment",
            text,
            f"has a part '{wrong[0]}' that RandAugment does not know",
            "Write rand, m (magnitude), n (operations), mstd, mmax, inc and p with a number each, such as "
            "rand-m9-mstd0.5-inc1.",
        )


def _is_tuple(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _check_name(setting: str, value: Any, names: Iterable[str]) -> None:
    choices = tuple(names)
    if value in choices:
        return
    error = unknown_name(setting.replace("_", " "), str(value), choices)
    all_choices = f"Known: {', '.join(choices)}."
    hint = all_choices if error.hint.startswith("Known") else f"{error.hint} {all_choices}"
    raise MedbenchError("recipe.setting", f"{setting}={value}: {error.message}", hint)


def _check_number(setting: str, value: Any, kind: type, least: int) -> None:
    fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
    if not fits or (kind is not bool and isinstance(value, bool)):
        raise _refused(setting, value, f"is not {_WORDS[kind]}", f"Give {_WORDS[kind]}.")
    if kind not in (int, float):
        return
    if not math.isfinite(value):
        raise _refused(setting, value, "is no finite number", f"Give {least} or more.")
    if value < least:
        raise _refused(setting, value, f"is below {least}", f"Give {least} or more.")
    if setting in SHARES and value > 1:
        raise _refused(setting, value, "is no share", "Give 0 to 1.")


def _refused(setting: str, value: Any, fault: str, hint: str) -> MedbenchError:
    return MedbenchError("recipe.setting", f"{setting}={value} {fault}.", hint)


IMAGE_AUGMENTATIONS = ("none", "affine_gain", "flip_rotate", "flip_scale_drop", "scale_rotate", "stain")
LOSSES_OF_IMAGES = (
    "cross_entropy_dice",
    "cross_entropy_argmax_dice",
    "cross_entropy_squared_dice",
    "batch_dice",
    "focal_log_dice",
)
_STEPWISE = ("constant", "cosine", "one_cycle", "polynomial", "halving")
_KINDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "images": {
        "schedule": _STEPWISE,
        "loss": LOSSES_OF_IMAGES,
        "augmentation": IMAGE_AUGMENTATIONS,
    },
    "volumes": {
        "schedule": _STEPWISE,
        "loss": ("cross_entropy_dice", "batch_dice", "modality_distillation"),
        "augmentation": ("none", "mirror", "turn_mirror"),
    },
    "landmarks": {
        "schedule": _STEPWISE,
        "loss": ("heatmap_mse",),
        "augmentation": ("none", "affine_gain"),
    },
    "image classes": {
        "loss": ("cross_entropy",),
        "augmentation": (*IMAGE_AUGMENTATIONS, "random_crop"),
    },
    "image labels": {
        "loss": ("binary_cross_entropy",),
        "augmentation": (*IMAGE_AUGMENTATIONS, "random_crop"),
    },
    "boxes": {
        "schedule": (*_STEPWISE, "warmup_steps"),
        "loss": ("detection",),
        "augmentation": ("none", "flip", "scale_jitter"),
    },
}
UNUSED: Mapping[str, tuple[str, ...]] = {
    "images": ("patches", "structure_share", "hide_sequences", "missing_rates"),
    "volumes": ("unlabelled_ratio", "image_class_weight"),
    "landmarks": (
        *("patches", "structure_share", "hide_sequences", "missing_rates"),
        *("unlabelled_ratio", "image_class_weight"),
    ),
    "image classes": (
        *("patches", "structure_share", "hide_sequences", "missing_rates"),
        *("unlabelled_ratio", "image_class_weight"),
    ),
    "image labels": (
        *("patches", "structure_share", "hide_sequences", "missing_rates"),
        *("unlabelled_ratio", "image_class_weight"),
        *("mixup", "cutmix", "label_smoothing", "class_balance"),
    ),
    "boxes": (
        *("patches", "structure_share", "hide_sequences", "missing_rates"),
        *("unlabelled_ratio", "image_class_weight"),
    ),
}
"""Kind of training -> settings that it has no use for."""


_NEEDS: Mapping[str, tuple[str, str]] = {
    "rand_augment": ("augmentation", "random_crop"),
    "least_scale": ("augmentation", "scale_jitter"),
    "most_scale": ("augmentation", "scale_jitter"),
    "warmup_epochs": ("schedule", "warmup_cosine"),
    "first_rate": ("schedule", "warmup_cosine"),
    "last_rate": ("schedule", "warmup_cosine"),
    "warmup_steps": ("schedule", "warmup_steps"),
    "smooth": ("loss", "jaccard"),
}
"""Setting -> the other setting, and its value, without which the first has no effect."""


def check_needs(recipe: Any, changes: Mapping[str, Any]) -> None:
    """Refuse changes of settings that have no effect beside the recipe's others.

    Raises:
        MedbenchError: ``recipe.setting`` naming both settings.
    """
    for name, (other, value) in _NEEDS.items():
        if name in changes and getattr(recipe, other, value) != value:
            raise _refused(
                name,
                changes[name],
                f"has no effect with {other}={getattr(recipe, other)}",
                f"Leave it out, or set {other}={value}.",
            )


def check_use(recipe: Any, learns: str, changes: Mapping[str, Any]) -> None:
    """Refuse settings that a training of ``learns`` would not follow.

    Args:
        recipe: the recipe with its changes.
        learns: ``images``, ``volumes``, ``image classes``, ``image labels``, ``boxes`` or ``landmarks``.
        changes: settings that the user changed.

    Raises:
        MedbenchError: ``recipe.setting`` naming the setting and what such trainings know.
    """
    for setting, names in _KINDS[learns].items():
        value = getattr(recipe, setting)
        if value not in names:
            raise MedbenchError(
                "recipe.setting",
                f"{setting}={value} is not for training on {learns}.",
                f"Known there: {', '.join(names)}.",
            )
    surplus = next((name for name in UNUSED[learns] if name in changes), None)
    if surplus is not None:
        raise MedbenchError(
            "recipe.setting",
            f"{surplus}={changes[surplus]}: training on {learns} has no use for it.",
            "Leave the setting out.",
        )
    if recipe.schedule == "warmup_cosine" and recipe.optimizer != "adamw":
        raise MedbenchError(
            "recipe.setting",
            f"optimizer={recipe.optimizer}: the schedule warmup_cosine trains with adamw.",
            "Leave the optimizer out, or choose another schedule.",
        )


def settings_of(kind: type[DataclassInstance]) -> set[str]:
    """Names of the settings of a kind of recipe."""
    return {field.name for field in dataclasses.fields(kind)} - {"name", "description"}
