"""Training recipes: named settings by model family and challenge, from the TOML files beside this one.

A file holds one table a recipe. Besides the settings a table names the ``source`` of its values, the settings
that are ``ours`` and not the source's, and the ``authors_start``, what the authors' program begins with. The
table ``[challenges]`` names the recipe of the family on a challenge.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name
from medbench.core.text import counted
from medbench.training.recipes.checking import check_budget, check_scales, check_settings, settings_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FOLDER = Path(__file__).parent
OWN = "medbench"
"""Source of settings that are decided here."""
_CHALLENGES = "challenges"
_DOCUMENT = ("source", "ours", "authors_start")

R = TypeVar("R", bound="DataclassInstance")


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a training.

    Attributes:
        name: ``default``, ``quick``, ``official`` …
        description: one line for people.
        image_size: side of the square training images in pixels, or of the cubic patches in voxels.
        batch_size: images or patches per step, over all devices; a last incomplete batch of an epoch is left
            out, also in recipes of authors whose program keeps it (those for Synapse).
        epochs: passes over the training images or volumes.
        learning_rate: peak rate of the optimizer.
        weight_decay: of the optimizer.
        schedule: of the learning rate, step by step, also in recipes of authors whose program changes it once
            an epoch (the cosine of ISIC-2018 and CVC-ClinicDB, PASSION); ``polynomial`` falls to zero with
            the power 0.9; ``halving`` halves it every 15 epochs.
        loss: ``cross_entropy_dice``, or a loss of the authors' programs; see
            :func:`medbench.training.losses.segmentation_loss`; ``modality_distillation`` is for networks that
            fuse modalities, see :mod:`medbench.training.distillation_task`; ``binary_cross_entropy`` takes
            each label of an image by itself; ``detection`` is the sum of the losses that a detector returns,
            ``heatmap_mse`` the mean squared error of heat maps.
        augmentation: ``flip_rotate`` is a horizontal flip and a rotation by up to 30 degrees, each at 0.5;
            ``affine_gain`` rotates by up to 15 degrees, shifts by up to 12 % across and 8 % down, scales by
            0.85 to 1.15, and changes brightness and contrast by up to 40 %; ``stain`` flips both ways, turns
            by any multiple of 90 degrees, scales by 0.85 to 1.15, and varies the two stains of a PAS section;
            ``flip_scale_drop`` flips each way at 0.25, turns by up to 45 degrees and scales by 0.9 to 1.1 at
            0.25 with reflections beyond the edges, and blackens eight squares of 8 pixels a side at 0.5;
            ``scale_rotate`` turns by up to 10 degrees and scales by 0.9 to 1.1 at 0.5;
            ``mirror`` flips volumes along each axis at 0.5 and scales each modality by 0.9 to 1.1;
            ``turn_mirror`` also turns volumes by −10 to 9 degrees in one plane, and scales and shifts each
            plane of each modality on its own.
        validation: how a fifth is held out to choose the best epoch; ``none`` holds nothing out and takes
            the last epoch.
        unlabelled_ratio: images without label map per labelled image, drawn anew each epoch to balance the
            image classes.
        image_class_weight: weight of the image-level cross entropy.
        gradient_clip: largest norm of the whole gradient; 0 does not clip.
        least_steps: least number of steps in all; small training sets get more epochs.
        optimizer: ``sgd`` has a momentum of 0.9; ``adam_amsgrad`` and ``adamw_amsgrad`` have the AMSGrad
            correction.
        decay: parameters that decay: ``matrices`` are those of two and more axes, without norms and biases.
        patches: patches of each volume per epoch, with ``image_size`` as their side in voxels.
        structure_share: share of patches that are centred on a voxel of a structure; the others lie anywhere.
        hide_sequences: whether a patch shows a random non-empty subset of its modalities.
        missing_rates: share of the patients that lack each modality in all epochs, such as ``t1=0.2 t1ce=0.4
            flair=0.6 t2=0.8``, drawn by :func:`medbench.training.missing_modalities.imbalanced_masks` in that
            order; empty where no patient lacks any.
        max_steps: most steps in all, whatever the epochs say; 0: no limit of its own.
        max_minutes: time after which the training ends, whatever the epochs say; 0: no limit of its own.
        cpu_minutes: CPU minutes that ``max_steps`` were planned to take, which boards compare with what the
            training took; 0: no such budget. It decides nothing by itself.
        seed: of the initial weights, the order, the augmentation and the split.
    """

    name: str
    description: str
    image_size: int
    batch_size: int
    epochs: int
    learning_rate: float
    weight_decay: float
    schedule: Literal[
        "constant", "cosine", "one_cycle", "polynomial", "warmup_cosine", "warmup_steps", "halving"
    ]
    loss: Literal[
        "cross_entropy_dice",
        "cross_entropy_argmax_dice",
        "cross_entropy_squared_dice",
        "batch_dice",
        "focal_log_dice",
        "modality_distillation",
        "cross_entropy",
        "binary_cross_entropy",
        "detection",
        "heatmap_mse",
    ]
    augmentation: Literal[
        "none",
        "affine_gain",
        "flip_rotate",
        "flip_scale_drop",
        "scale_rotate",
        "stain",
        "mirror",
        "turn_mirror",
        "random_crop",
        "flip",
        "scale_jitter",
    ]
    validation: Literal["by_group", "by_image", "none"]
    unlabelled_ratio: float = 1.0
    image_class_weight: float = 0.5
    gradient_clip: float = 0.0
    least_steps: int = 0
    optimizer: Literal["adamw", "adam", "sgd", "adam_amsgrad", "adamw_amsgrad"] = "adamw"
    decay: Literal["matrices", "all"] = "matrices"
    patches: int = 1
    structure_share: float = 0.5
    hide_sequences: bool = False
    missing_rates: str = ""
    max_steps: int = 0
    max_minutes: float = 0.0
    cpu_minutes: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self)
        check_budget(self.cpu_minutes, self.max_steps)

    def rate(self) -> float:
        """Peak rate of the optimizer."""
        return self.learning_rate

    def epochs_of(self, steps_per_epoch: int) -> int:
        """Number of epochs, begun ones included, with :attr:`least_steps` at least or :attr:`max_steps`."""
        if self.max_steps:
            return math.ceil(self.max_steps / steps_per_epoch)
        return max(self.epochs, math.ceil(self.least_steps / steps_per_epoch))

    @property
    def length(self) -> str:
        """Length of the training in words."""
        if self.max_steps:
            return counted(self.max_steps, "step")
        epochs = counted(self.epochs, "epoch")
        epochs = f"{epochs}, {self.max_minutes:g} minutes at most" if self.max_minutes else epochs
        return (
            f"{epochs} or {counted(self.least_steps, 'step')}, whichever is more"
            if self.least_steps
            else epochs
        )

    def describe(self, spatial_dims: int) -> str:
        """Length of the training and size of its images or patches, in words."""
        return f"{self.length}, at {'×'.join([str(self.image_size)] * spatial_dims)}"

    def as_json(self) -> dict[str, Any]:
        """Plain values for records and hashes."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class BatchRateRecipe(Recipe):
    """Settings whose learning rate may grow with the batch.

    Attributes:
        batch_of_rate: batch size that ``learning_rate`` is given for; the rate grows with the batch. 0: it
            holds for any.
    """

    batch_of_rate: int = 0

    def rate(self) -> float:
        """Peak rate of the optimizer for the batch, which is the same over any number of devices."""
        if not self.batch_of_rate:
            return self.learning_rate
        return self.learning_rate * self.batch_size / self.batch_of_rate


@dataclasses.dataclass(frozen=True, slots=True)
class ImageClassRecipe(BatchRateRecipe):
    """Settings of networks that class whole images, besides those of all.

    The loss is the cross entropy with soft targets. ``random_crop`` crops 8 to 100 % of an image to the
    size, flips it at 0.5 and applies ``rand_augment``; ``warmup_cosine`` raises the rate from epoch to epoch
    and then lets it fall as a cosine.

    Attributes:
        mixup: parameter of the Beta distribution that mixes images; 0 does not mix.
        cutmix: the same for images that get a part of another; with both, each batch takes one of them.
        label_smoothing: share of a target that goes to all classes alike.
        rand_augment: RandAugment in timm's notation, such as ``rand-m9-mstd0.5-inc1``; empty: none.
        erasing: chance that a part of an image becomes noise.
        warmup_epochs: of ``warmup_cosine``.
        first_rate: rate at its beginning.
        last_rate: rate at its end.
        class_balance: how classes of other sizes are evened out: ``loss`` weighs images by the inverse of
            their class's size, ``sampling`` draws every class alike, ``none`` leaves them.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0
    rand_augment: str = ""
    erasing: float = 0.0
    warmup_epochs: int = 0
    first_rate: float = 1e-6
    last_rate: float = 1e-5
    class_balance: Literal["none", "loss", "sampling"] = "none"


@dataclasses.dataclass(frozen=True, slots=True)
class LandmarkRecipe(Recipe):
    """Settings of networks that answer landmarks by heat maps, besides those of all.

    Attributes:
        sigma: of the Gaussian at a landmark, in pixels of the heat map.
        targets: ``exact`` puts it at the landmark, ``truncated`` at the pixel that holds the landmark.
    """

    sigma: float = 2.0
    targets: Literal["exact", "truncated"] = "exact"


@dataclasses.dataclass(frozen=True, slots=True)
class BoxRecipe(BatchRateRecipe):
    """Settings of networks that detect boxes, besides those of all.

    The loss is the sum of those that the network returns. ``image_size`` is the longer side of images, which
    are padded to a square. ``flip`` flips an image at 0.5; ``scale_jitter`` also scales an image by
    ``least_scale`` to ``most_scale`` of that size, cuts or pads it to the square at a random place, and
    changes brightness and contrast by up to 30 %. ``warmup_steps`` raises the rate over the first steps and
    divides it by ten after 8/13 and 11/13 of all steps.

    Attributes:
        least_scale: of ``scale_jitter``.
        most_scale: of ``scale_jitter``.
        warmup_steps: of the schedule, at most those of one epoch.
        class_balance: ``sampling`` draws images so that boxes of every class, and images without, come up
            more alike; ``none`` takes every image once an epoch.
    """

    least_scale: float = 1.0
    most_scale: float = 1.0
    warmup_steps: int = 0
    class_balance: Literal["none", "sampling"] = "none"

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        check_scales(self.least_scale, self.most_scale)


RECIPES_OF_TASKS: dict[str, type[Recipe]] = {
    "image_classes": ImageClassRecipe,
    "image_labels": ImageClassRecipe,
    "boxes": BoxRecipe,
    "landmarks": LandmarkRecipe,
}
"""Task that is demanded alone -> kind of its recipes, whose family has the task's name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """The origin of a recipe's values.

    Attributes:
        source: the paper or program that the values come from.
        ours: settings that are not the source's.
        authors_start: what the authors' program begins with; empty where it begins with fresh weights.
        settings: settings that the recipe names; the others keep the values of all recipes.
    """

    source: str
    ours: tuple[str, ...]
    authors_start: str
    settings: tuple[str, ...]

    def of(self, setting: str) -> str:
        """The source of a setting's value."""
        return self.source if setting in self.settings and setting not in self.ours else OWN


def list_recipes(family: str) -> list[str]:
    """Names of a model family's recipes."""
    return [name for name in _table(family) if name != _CHALLENGES]


def recipe_on(family: str, challenge: str) -> str | None:
    """Name of the family's recipe on a challenge; ``None`` where the family has none of its own for it."""
    name: str | None = _table(family).get(_CHALLENGES, {}).get(challenge)
    return name


def recipe_document(family: str, name: str) -> Document:
    """The origin of a recipe's values.

    Raises:
        MedbenchError: ``recipe.unknown``.
    """
    recipe = _recipe(family, name)
    settings = tuple(key for key in recipe if key not in (*_DOCUMENT, "description"))
    return Document(
        recipe.get("source", OWN), tuple(recipe.get("ours", ())), recipe.get("authors_start", ""), settings
    )


def load_recipe(family: str, name: str = "default", **changes: Any) -> Recipe:
    """A family's recipe with some settings changed; a change of ``epochs`` sets ``least_steps`` to 0.

    Raises:
        MedbenchError: ``recipe.unknown``, or ``recipe.setting`` for a setting that recipes do not have or a
            value that it cannot take.
    """
    return load_recipe_as(RECIPES_OF_TASKS.get(family, Recipe), family, name, changes)


def load_recipe_as(kind: type[R], family: str, name: str, changes: Mapping[str, Any]) -> R:
    """A recipe as :func:`load_recipe` gives, of a framework's own dataclass.

    Raises:
        MedbenchError: as :func:`load_recipe`.
    """
    table = {key: value for key, value in _recipe(family, name).items() if key not in _DOCUMENT}
    recipe = kind(**{"name": name, **table})
    settings = settings_of(kind)
    for key in changes:
        if key not in settings:
            error = unknown_name("recipe setting", key, settings)
            raise MedbenchError("recipe.setting", error.message, error.hint)
    exact = {"least_steps": 0} if "least_steps" in settings and "epochs" in changes else {}
    return dataclasses.replace(recipe, **{**exact, **changes})


def _recipe(family: str, name: str) -> dict[str, Any]:
    if name not in list_recipes(family):
        raise unknown_name("recipe", name, list_recipes(family))
    recipe: dict[str, Any] = _table(family)[name]
    return recipe


def _table(family: str) -> dict[str, dict[str, Any]]:
    path = FOLDER / f"{family}.toml"
    with open(path if path.exists() else FOLDER / "generic.toml", "rb") as stream:
        return tomllib.load(stream)
