"""Recipes of nnU-Net: settings that change its own planning and training."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name
from medbench.core.text import counted
from medbench.nnunet.own_classes import DEFAULT_TRAINER, own_classes
from medbench.training.recipes.checking import check_settings

FOLDS = 5
PLANNERS = {
    "default": "ExperimentPlanner",
    "ResEncM": "nnUNetPlannerResEncM",
    "ResEncL": "nnUNetPlannerResEncL",
    "ResEncXL": "nnUNetPlannerResEncXL",
}

_TRAINERS = ("learning_rate", "weight_decay")
"""Settings that a trainer may decide by itself."""


@dataclasses.dataclass(frozen=True, slots=True)
class NnunetRecipe:
    """Settings of nnU-Net's planning and training; the defaults are nnU-Net's own.

    Attributes:
        name: ``default``, ``quick``, ``official``.
        description: one line for people.
        image_size: side of the square that images are resized to; volumes keep their own grid.
        epochs: number of epochs.
        steps: optimizer steps per epoch.
        validation_steps: random batches of the held-out fold per epoch.
        learning_rate: of stochastic gradient descent at the start; it falls to zero with the power 0.9.
        weight_decay: of stochastic gradient descent.
        planner: ``default``; one of nnU-Net's residual encoder presets ``ResEncM``, ``ResEncL`` and
            ``ResEncXL``; or the name of any planner of nnU-Net.
        trainer: name of any trainer of nnU-Net, such as ``nnUNet_Primus_M_Trainer``; those besides its
            default have a learning rate and a weight decay of their own unless the recipe changes them.
        base_features: width at the full resolution.
        memory_gb: GPU memory that the plan is made for; 0 leaves the planner's own.
        batch_size: patches per step; 0 takes the planned number.
        folds: 0 to 4, a list of them for an ensemble, or ``all`` to hold nothing out.
        seed: of the initial weights, the patches and the augmentation.
    """

    name: str
    description: str
    image_size: int = 512
    epochs: int = 1000
    steps: int = 250
    validation_steps: int = 50
    learning_rate: float = 1e-2
    weight_decay: float = 3e-5
    planner: str = "default"
    trainer: str = DEFAULT_TRAINER
    base_features: int = 32
    memory_gb: float = 0.0
    batch_size: int = 0
    folds: int | Literal["all"] | tuple[int, ...] = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self, plan=("batch_size",))
        _check_class("planner", self.planner, (*PLANNERS, *own_classes("planner")))
        _check_class("trainer", self.trainer, (DEFAULT_TRAINER, *own_classes("trainer")))
        numbers = self.folds if isinstance(self.folds, list | tuple) else [self.folds]
        if self.folds != "all" and (not numbers or not all(map(_is_fold, numbers))):
            raise MedbenchError(
                "recipe.setting",
                f"nnU-Net: folds={self.folds} are not of 0 to {FOLDS - 1}.",
                "Give a number, a list such as [0,1,2,3,4], or all.",
            )

    @property
    def fold_list(self) -> list[int | str]:
        """The folds to train, as a list."""
        if isinstance(self.folds, int | str):
            return [self.folds]
        return list(dict.fromkeys(self.folds))

    @property
    def planner_class(self) -> str:
        """Name of the planner's class."""
        return PLANNERS.get(self.planner, self.planner)

    def as_json(self) -> dict[str, Any]:
        """Plain values for records and hashes, without settings that the trainer decides by itself."""
        values = {**dataclasses.asdict(self), "folds": self.fold_list}
        if self.trainer != DEFAULT_TRAINER:
            defaults = {field.name: field.default for field in dataclasses.fields(self)}
            for name in _TRAINERS:
                if values[name] == defaults[name]:
                    del values[name]
        return values

    def describe(self, spatial_dims: int) -> str:
        """Length of the training and size of its images, in words."""
        size = f", images at {self.image_size}×{self.image_size}" if spatial_dims == 2 else ""
        return f"{counted(self.epochs, 'epoch')} of {counted(self.steps, 'step')}{size}"


def _is_fold(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in range(FOLDS)


def _check_class(setting: str, name: str, choices: tuple[str, ...]) -> None:
    if name in choices:
        return
    error = unknown_name(setting, name, choices)
    raise MedbenchError("recipe.setting", f"{setting}={name}: nnU-Net has none of that name.", error.hint)
