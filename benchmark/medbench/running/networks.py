"""Networks that fit a challenge: a model by its name, with inputs and outputs for the challenge's tasks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.extras import require_package
from medbench.core.registry import load_object
from medbench.core.task import Form, titles
from medbench.inference.decoding import Resampling
from medbench.inference.predictor import InputContract
from medbench.inference.volumes import VolumeContract
from medbench.models import create_model, model_entries, model_entry
from medbench.models.local.entries import CONTRACT_OPTION
from medbench.models.registry import check_options
from medbench.training.missing_modalities import rates_by_channel
from medbench.training.recipes import RECIPES_OF_TASKS, Recipe, load_recipe_as, recipe_on
from medbench.training.recipes.checking import check_needs, check_use
from medbench.training.sequence_recipe import SequenceRecipe

if TYPE_CHECKING:
    from torch import nn

    from medbench.models.entry import ModelEntry
    from medbench.training.framework import Framework, FrameworkRecipe

LONGEST_FOLDER = 60
INPUT = "input"
"""Entry of a training's facts: :attr:`NetworkPlan.own_input`."""
DEFAULT = "default"
"""Recipe of a family on challenges for which it has none of its own."""


_AXES: Mapping[Form, Literal[1, 2, 3]] = {"volume": 3, "sequence": 1}
"""Form of cases -> axes of a framework's network, where these are not two."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """A model with everything that decides how its network is built for a challenge.

    Attributes:
        name: model name.
        entry: its card; a framework's has the challenge's number of axes.
        options: options that differ from the defaults.
        outputs: demanded task -> number of its classes, points or scores; a label map's include the
        background.
        form: form of cases that the network reads.
        resampling: how the challenge's protocol resizes images and label maps.
        in_channels: three for images; the challenge's modalities for volumes; features of a frame for
            sequences.
    """

    name: str
    entry: ModelEntry
    options: dict[str, Any]
    outputs: Mapping[str, int]
    form: Form = "image"
    resampling: Resampling = "image"
    in_channels: int = 3

    @property
    def folder_name(self) -> str:
        """Name of the folder that holds the model's runs and trainings."""
        if not self.entry.local:
            return self.name.replace("/", "-")
        plain = re.sub(r"[^A-Za-z0-9.]+", "-", self.name).strip("-.")
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:8]
        return plain if len(plain) <= LONGEST_FOLDER else f"{plain[:LONGEST_FOLDER]}-{digest}"

    @property
    def entry_family(self) -> str:
        """Model family whose recipes apply to label maps."""
        return self.entry.recipe_family

    @property
    def recipe_family(self) -> str:
        """The family whose recipes apply to what is demanded."""
        alone = next(iter(self.outputs)) if len(self.outputs) == 1 else ""
        return alone if alone in RECIPES_OF_TASKS else self.entry.recipe_family

    @property
    def returned(self) -> tuple[str, ...]:
        """Tasks in the order of the network's outputs: what is demanded, and what it makes in any case."""
        offers = self.entry.offers
        always = {"", "num_classes"} - ({offers[task] for task in self.outputs} - {""})
        return tuple(task for task, keyword in offers.items() if task in self.outputs or keyword in always)

    @property
    def framework(self) -> Framework | None:
        """The framework that plans, trains and predicts for its own models; ``None`` for other models."""
        return load_object(self.entry.framework) if self.entry.framework else None

    @property
    def all_options(self) -> dict[str, Any]:
        """Options of the model, those that its variant fixes included."""
        return {**self.entry.fixed_options, **self.options}

    def build(self) -> nn.Module:
        """A fresh network, initialised from torch's current seed."""
        counts = {self.entry.offers[task]: count for task, count in self.outputs.items()}
        counts.pop("", None)
        counts.setdefault("num_classes", self.entry.num_classes)
        return create_model(self.name, in_channels=self.in_channels, **counts, **self.options)

    @property
    def num_classes(self) -> int:
        """Number of label-map classes with the background, else of channels of the network's main output."""
        return self.outputs.get("label_map", next(iter(self.outputs.values())))

    @property
    def num_image_classes(self) -> int | None:
        """Number of classes of whole images, where a challenge demands them beside label maps."""
        return self.outputs.get("image_classes") if "label_map" in self.outputs else None

    @property
    def sees_volumes(self) -> bool:
        """Whether the network reads volumes."""
        return self.form == "volume"

    @property
    def learns(self) -> str:
        """Kind of training, in words: volumes, images, boxes, landmarks, sequences …"""
        if self.form == "sequence":
            return "sequences"
        if self.sees_volumes:
            return "volumes"
        if "label_map" in self.outputs:
            return "images"
        names = {"boxes": "boxes", "landmarks": "landmarks", "image_labels": "image labels"}
        return next((name for task, name in names.items() if task in self.outputs), "image classes")

    def volume_contract(self, image_size: int | None = None) -> VolumeContract:
        """Input contract of a network that reads volumes, with windows of ``image_size``."""
        entry = self.entry
        size = image_size or entry.image_size
        return VolumeContract(
            size,
            entry.background,
            entry.blending,
            entry.modality_mask,
            entry.window_planes,
            entry.image_size if entry.centre_crop else 0,
        )

    def contract(self, image_size: int | None = None) -> InputContract:
        """Input contract of a network that reads images, at ``image_size`` or its published size."""
        entry = self.entry
        return InputContract(
            size=image_size or entry.image_size,
            channel_order=entry.channel_order,
            scale=entry.scale,
            mean=tuple(entry.mean),
            std=tuple(entry.std),
            resampling=self.resampling,
            channels=self.in_channels if entry.own_channels else 3,
            padded=set(self.outputs) == {"boxes"},
        )

    def input_contract(self, image_size: int | None = None) -> InputContract | VolumeContract | None:
        """Input contract of the network at ``image_size``; ``None`` for sequences of features."""
        if self.form == "sequence":
            return None
        return self.volume_contract(image_size) if self.sees_volumes else self.contract(image_size)

    @property
    def own_input(self) -> dict[str, Any]:
        """What of the preparation of the network's input is not as by default; weights hold for it alone.

        The size is a setting of the recipe; how windows are blended decides no weights.
        """
        contract = None if self.framework is not None else self.input_contract()
        if contract is None:
            return {}
        usual = type(contract)(contract.size)  # type: ignore[arg-type]
        names = {field.name for field in fields(contract)} - {"size", "blending"}
        values = {name: getattr(contract, name) for name in sorted(names)}
        own = {name: value for name, value in values.items() if value != getattr(usual, name)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}


def plan_network(
    model: str, challenge: Challenge, options: Mapping[str, Any], image_size: int | None = None
) -> NetworkPlan:
    """Plan the network of a model for a challenge's demands and the form of its cases.

    Args:
        model: its name.
        challenge: what it is for.
        options: that differ from the defaults.
        image_size: side of the input, at which a model of one's own is tried.

    Raises:
        MedbenchError: ``model.unknown``, ``model.option``, ``model.task`` for one that does not offer what
            the challenge demands, or ``model.form`` for one that sees other forms of cases.
    """
    entry, own = model_entry(model).on(challenge.name)
    options = {**own, **options}
    if CONTRACT_OPTION in options:
        _check_contract_taken(entry)
    if entry.local:
        check_options(entry, options)
        entry = _probed(entry, challenge, options, image_size)
    form = match(entry, challenge)
    if entry.framework:
        framework: Framework = load_object(entry.framework)
        framework.check(model, challenge, {**entry.fixed_options, **options})
        entry = replace(entry, spatial_dims=_AXES.get(form, 2))
    else:
        check_options(entry, options)
    return NetworkPlan(
        entry.name if entry.local else model,
        entry,
        dict(options),
        {task: len(names) for task, names in challenge.card.demands.items()},
        form,
        challenge.card.resampling,
        _channels(entry, challenge, form),
    )


def _check_contract_taken(entry: ModelEntry) -> None:
    """Refuse a stated input contract for a model that is no exported network.

    Raises:
        MedbenchError: ``model.contract``.
    """
    if entry.local == "file":
        return
    if entry.local == "python":
        hint = "Declare the class in medbench.toml, with input = { size = 256, mean = [0.5, 0.5, 0.5] }."
    elif entry.local:
        hint = "Leave it out: a program is given the files of the images as they are."
    else:
        hint = f"Leave it out: 'medbench models show {entry.name}' has its input contract."
    raise MedbenchError(
        "model.contract",
        f"{entry.name}: --contract states the input of an exported network (-m file:…) alone.",
        hint,
    )


def _probed(
    entry: ModelEntry, challenge: Challenge, options: Mapping[str, Any], image_size: int | None
) -> ModelEntry:
    """The card of a model of one's own with the contract that a forward pass finds.

    Raises:
        MedbenchError: ``model.task`` where more is demanded than one label map or class, or as
            :func:`medbench.models.local.probe.probed`.
    """
    from medbench.models.local.probe import Needs, probed

    demands = challenge.card.demands
    if len(demands) != 1 or not demands.keys() <= {"label_map", "image_classes"}:
        raise MedbenchError(
            "model.task",
            f"{entry.name}: your own model makes label maps or image classes; {challenge.title} "
            f"demands {titles(demands)}.",
            _suited(challenge),
        )
    require_package("torch")
    task, classes = next(iter(demands.items()))
    forms = tuple(challenge.exchange.inputs)
    modalities = [(key, *others) for key, others in challenge.card.modalities.items()]
    needs = Needs(task, classes, forms, modalities, image_size)
    return probed(entry, needs, options)


def recipe_choice(challenge: Challenge, network: NetworkPlan) -> tuple[str, str]:
    """Name of the recipe that a training takes where none is named, and whose choice it is.

    The model family's recipe on the challenge comes first, then the card's, then ``default``.
    """
    own = recipe_on(network.recipe_family, challenge.name)
    if own is not None:
        return own, f"{network.recipe_family} on {challenge.name}"
    name = network.entry.default_recipe
    if name != DEFAULT and network.recipe_family == network.entry_family:
        return name, f"the card of {network.name}"
    return DEFAULT, f"{network.recipe_family} on any challenge"


def recipe_for(
    challenge: Challenge, network: NetworkPlan, name: str | None, changes: Mapping[str, Any] | None = None
) -> Recipe | SequenceRecipe | FrameworkRecipe:
    """A model's recipe with the challenge's augmentation, unless the recipe is one on this challenge.

    A framework has recipes and augmentation of its own; networks that see sequences have none.

    Args:
        challenge: the challenge.
        network: the model with its options.
        name: name of the recipe; ``None`` takes that of :func:`recipe_choice`.
        changes: settings that differ from the recipe's.

    Raises:
        MedbenchError: ``recipe.unknown``, ``recipe.setting``, ``training.missing_rates`` or
            ``modality.unknown``.
    """
    own, changes = recipe_choice(challenge, network)[0], changes or {}
    name = name or own
    if network.framework is not None:
        return network.framework.recipe(network.entry_family, name, changes)
    if network.form == "sequence":
        videos = load_recipe_as(SequenceRecipe, network.entry_family, name, changes)
        check_needs(videos, changes)
        return videos
    recipe = load_recipe_as(
        RECIPES_OF_TASKS.get(network.recipe_family, Recipe),
        network.recipe_family,
        name,
        {**challenge_settings(challenge, network, name), **changes},
    )
    check_use(recipe, network.learns, changes)
    check_needs(recipe, changes)
    if network.sees_volumes and recipe.missing_rates:
        rates_by_channel(recipe.missing_rates, challenge.card.modalities)
    return recipe


def challenge_settings(challenge: Challenge, network: NetworkPlan, name: str) -> dict[str, Any]:
    """Settings that a challenge's images need in place of a recipe's, unless the recipe is one on them."""
    if not challenge.card.augmentation or network.framework is not None or network.form == "sequence":
        return {}
    if name in ("official", recipe_on(network.recipe_family, challenge.name)):
        return {}
    return {"augmentation": challenge.card.augmentation}


def match(entry: ModelEntry, challenge: Challenge) -> Form:
    """The form of cases in which a model serves a challenge.

    Raises:
        MedbenchError: ``model.task`` or ``model.form``, naming what the challenge demands and models that
            serve it.
    """
    demands = challenge.card.demands
    if not demands.keys() <= entry.offers.keys():
        raise MedbenchError(
            "model.task",
            f"{entry.title} ({entry.name}) makes {titles(entry.offers) or 'no answers by itself'}; "
            f"{challenge.title} demands {titles(demands)}.",
            _suited(challenge),
        )
    forms = entry.forms if challenge.card.modalities or not entry.framework else reversed(entry.forms)
    form = next((form for form in forms if form in challenge.exchange.inputs), None)
    if form is None:
        raise MedbenchError(
            "model.form",
            f"{entry.title} ({entry.name}) sees {_plural(entry.forms)}; cases of {challenge.title} are "
            f"{_plural(challenge.exchange.inputs)}.",
            _suited(challenge),
        )
    return form


def suitable_models(challenge: Challenge) -> list[str]:
    """Models that offer what a challenge demands and read the form of its cases; no tiny variants."""
    demands, forms = challenge.card.demands.keys(), set(challenge.exchange.inputs)
    return [
        entry.name
        for entry in model_entries()
        if demands <= entry.offers.keys() and forms & set(entry.forms) and not entry.name.endswith(".test")
    ]


def _suited(challenge: Challenge) -> str:
    names = suitable_models(challenge)
    examples = sorted(names, key=lambda name: "/" in name)[:6]
    if not examples:
        return "No model here does: register one that offers it (docs/extending/model.md)."
    more = f" and {len(names) - len(examples)} more" if len(names) > len(examples) else ""
    return f"Models that do: {', '.join(examples)}{more}."


def _plural(forms: Iterable[Form]) -> str:
    return " or ".join(f"{form}s" for form in forms)


def _channels(entry: ModelEntry, challenge: Challenge, form: Form) -> int:
    if form == "volume":
        return len(challenge.card.modalities) or 1
    return entry.in_channels if form == "sequence" or entry.own_channels else 3
