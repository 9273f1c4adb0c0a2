"""Model cards: the facts of a model, without importing torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medbench.core.errors import MedbenchError
from medbench.core.files import read_toml
from medbench.core.registry import unknown_name
from medbench.core.task import Form

CARDS = Path(__file__).parent / "cards"
TINY = ".test"
"""End of the names of tiny variants, which tests alone use."""


@dataclass(frozen=True, slots=True)
class ModelOption:
    """An option of a model: a keyword of its factory.

    Attributes:
        default: default value.
        help: one line of help.
    """

    default: Any
    help: str = ""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model's card; ``None`` and empty text mean that a fact is unknown, not that it is zero.

    Attributes:
        name: name on the command line; ``family.test`` is the tiny variant of a family.
        title: title in tables.
        factory: ``"module:callable"``; called with ``in_channels``, ``num_classes`` and the options; that of
            a part of a network with those of the two numbers that it takes.
        framework: ``"module:object"``, a :class:`medbench.training.framework.Framework` that plans,
            trains and predicts by itself; empty for plain networks.
        offers: task -> keyword of the factory for the number of classes, points … of the task; empty where
            the factory takes no number. The network returns one output per task in this order: a tensor, a
            tuple, or a mapping by task. A part of a network, which serves no challenge by itself, offers
            none.
        predictor: ``"module:callable"``, called with the network and a
            :class:`medbench.inference.build.PredictorSettings`, where the package's own predictors do not
            fit; empty otherwise.
        family: name of the card file that several models share.
        aliases: other names; usable everywhere but not listed.
        recipe_family: family of the training recipes.
        default_recipe: recipe of a training when the user names none.
        paper_title: title of the paper.
        arxiv: its arXiv number.
        doi: its DOI, where there is no arXiv number.
        code: the authors' repository at a commit.
        code_license: licence of that code, in SPDX form where it has one.
        learns: whether there is anything to train; such models need no weights otherwise.
        sees_reference: whether it is shown the reference of the very cases that it predicts, as its authors'
            program does; its results are marked and never ranked.
        in_channels: channels of the published input.
        spatial_dims: 2 for images, 3 for volumes ``(N, modalities, depth, height, width)``, 1 for sequences
            ``(N, frames, features)``.
        modality_mask: whether ``forward`` takes a second argument, the boolean tensor ``(N, modalities)`` of
            present modalities; channels of missing modalities are zero.
        background: value outside the brain in volumes: ``zero`` is 0; ``scaled`` is the z-score of 0, as in
            programs for incomplete modalities.
        blending: of overlapping windows: ``gaussian`` adds logits with Gaussian weights, ``uniform`` adds
            probabilities with equal weights.
        window_planes: planes of a window of volumes along the first axis; 0 has as many as ``image_size``.
        centre_crop: whether the network sees the centre of a volume's planes alone, at ``image_size``.
        image_size: published side of the square (cubic) input in pixels (voxels), or its frames.
        sees: forms of cases that the model predicts, the preferred form first; empty: as ``spatial_dims``
            says.
        further_inputs: ``"module:callable"``; called with the input, it makes the other inputs of ``forward``
            for profiling.
        size_divisor: the network pads the sides of its input to multiples of this number.
        min_size: the network pads smaller sides to this size.
        size_rule: which input sizes work, in words.
        channel_order: ``RGB`` or ``BGR`` input.
        scale: 8-bit values are divided by this.
        mean: subtracted afterwards, one a channel.
        std: divided by afterwards, one a channel.
        published_parameters: number of parameters in the paper.
        published_gflops: GFLOPs in the paper.
        authors_parameters: number of parameters of the authors' program, with ``num_classes``.
        authors_gmacs: billions of multiply-accumulates of the authors' program, counted by torch's
            ``FlopCounterMode`` for one input of ``image_size`` with ``num_classes``.
        cost_note: why figures of the paper, of the authors' program and of medbench differ, or that no reason
            was found.
        counted_parameters: number of parameters here, with default options, ``in_channels`` and
            ``num_classes``.
        num_classes: classes that the counted number and the authors' checkpoint have.
        checkpoint_data: training data of the authors' released weights.
        weights_of: name of the model whose trainings leave this model's weights; empty where its own do.
        official_keys: ``"module:callable"`` from the authors' state dictionary to our names.
        encoder_prefix: beginning of the names of the encoder's parameters in the authors' network; files
            that their program starts from lack it.
        official_shapes: ``in_channels`` and ``num_classes`` -> (parameter, axis) whose size equals the
        number.
        exports: formats of export that a test covers.
        options: options of the model by keyword.
        fixed_options: options that this variant sets.
        challenges: challenge -> facts that differ there, among them ``options``.
        notes: decisions of medbench where the paper is silent.
        local: kind of a model of one's own (:mod:`medbench.models.local`); empty for others.
        own_channels: whether images are given to the network with ``in_channels`` channels, grey ones
            repeated and colours weighed to grey; else always with three.
        source_sha256: of the file, image or command that answers, where it is not code of a plug-in.
    """

    name: str
    title: str
    factory: str = ""
    framework: str = ""
    offers: dict[str, str] = field(default_factory=lambda: {"label_map": "num_classes"})
    predictor: str = ""
    family: str = ""
    aliases: tuple[str, ...] = ()
    recipe_family: str = "generic"
    default_recipe: str = "default"
    paper_title: str = ""
    arxiv: str = ""
    doi: str = ""
    code: str = ""
    code_license: str = ""
    learns: bool = True
    sees_reference: bool = False
    in_channels: int = 3
    spatial_dims: Literal[1, 2, 3] = 2
    modality_mask: bool = False
    background: Literal["zero", "scaled"] = "zero"
    blending: Literal["gaussian", "uniform"] = "gaussian"
    window_planes: int = 0
    centre_crop: bool = False
    image_size: int = 256
    sees: tuple[Form, ...] = ()
    further_inputs: str = ""
    size_divisor: int = 1
    min_size: int = 1
    size_rule: str = "any"
    channel_order: str = "RGB"
    scale: float = 255.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    published_parameters: int | None = None
    published_gflops: float | None = None
    authors_parameters: int | None = None
    authors_gmacs: float | None = None
    cost_note: str = ""
    counted_parameters: int | None = None
    num_classes: int = 2
    checkpoint_data: str = ""
    weights_of: str = ""
    official_keys: str = ""
    encoder_prefix: str = ""
    official_shapes: dict[str, tuple[str, int]] = field(default_factory=dict)
    exports: tuple[str, ...] = ()
    options: dict[str, ModelOption] = field(default_factory=dict)
    fixed_options: dict[str, Any] = field(default_factory=dict)
    challenges: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: str = ""
    local: str = ""
    own_channels: bool = False
    source_sha256: str = ""

    @property
    def tasks_at_once(self) -> tuple[str, ...]:
        """Offered tasks in the order of the outputs, one of those whose numbers have one keyword."""
        first: dict[str, str] = {}
        for task, keyword in self.offers.items():
            first.setdefault(keyword or task, task)
        return tuple(first.values())

    @property
    def forms(self) -> tuple[Form, ...]:
        """Forms of cases that the model can predict, the preferred form first."""
        if self.sees:
            return self.sees
        by_axes: dict[int, tuple[Form, ...]] = {1: ("sequence",), 2: ("image", "slide"), 3: ("volume",)}
        return by_axes[self.spatial_dims]

    def on(self, challenge: str) -> tuple[ModelEntry, dict[str, Any]]:
        """The card as it is for a challenge, and the options that the model has there by default."""
        facts = dict(self.challenges.get(challenge, {}))
        options: dict[str, Any] = facts.pop("options", {})
        return dataclasses.replace(self, **facts), options

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the published input without the batch: channels and sides, or frames and features."""
        if self.spatial_dims == 1:
            return (self.image_size, self.in_channels)
        return (self.in_channels, *(self.image_size,) * self.spatial_dims)

    @property
    def paper(self) -> str:
        """The paper in one line."""
        number = f"arXiv {self.arxiv}" if self.arxiv else f"doi {self.doi}" if self.doi else ""
        return ", ".join(part for part in (self.paper_title, number) if part)


_FIELDS = {item.name for item in dataclasses.fields(ModelEntry)}
_TUPLES = {item.name for item in dataclasses.fields(ModelEntry) if str(item.type).startswith("tuple")}


def usual_models(names: Iterable[str]) -> list[str]:
    """The names without tiny variants.

    >>> usual_models(["dssau_net", "dssau_net.test"])
    ['dssau_net']
    """
    return [name for name in names if not name.endswith(TINY)]


def read_card(path: Path) -> dict[str, ModelEntry]:
    """Cards of the models in one file, by name.

    ``[options.NAME]`` holds ``default`` and ``help``; ``[variants."NAME"]`` whatever differs in that variant,
    including ``fixed_options``.

    Raises:
        MedbenchError: ``card.syntax`` for what is no TOML or has no variants, ``card.fact`` for a fact that
            cards do not have, ``card.option`` for a variant that fixes an option the family does not have.
    """
    try:
        card = read_toml(path)
        variants = card.pop("variants")
    except (ValueError, KeyError) as error:
        fault = f"no variants ({error})" if isinstance(error, KeyError) else str(error)
        raise MedbenchError(
            "card.syntax", f"{path}: the card cannot be read: {fault}.", "Repair the card, or remove it."
        ) from error
    options = {name: ModelOption(**option) for name, option in card.pop("options", {}).items()}
    entries = {}
    for name, changes in variants.items():
        facts = {"name": name, "family": path.stem, "recipe_family": path.stem, **card, **changes}
        _check_names(path, "fact", facts, _FIELDS)
        _check_names(path, "option", facts.get("fixed_options", {}), set(options))
        for changes in facts.get("challenges", {}).values():
            _check_names(path, "fact", changes, _FIELDS)
            _check_names(path, "option", changes.get("options", {}), set(options))
        facts["challenges"] = {
            challenge: _with_tuples(changes) for challenge, changes in facts.get("challenges", {}).items()
        }
        facts["official_shapes"] = {
            key: (parameter, axis) for key, (parameter, axis) in facts.get("official_shapes", {}).items()
        }
        entries[name] = ModelEntry(**_with_tuples(facts), options=options)
    return entries


def _with_tuples(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts of a card with tuples where TOML has lists."""
    return {key: tuple(value) if key in _TUPLES else value for key, value in facts.items()}


def _check_names(path: Path, kind: str, entries: dict[str, Any], names: set[str]) -> None:
    for name in entries:
        if name not in names:
            error = unknown_name(kind, name, names)
            raise MedbenchError(f"card.{kind}", f"{path.name}: {error.message}", error.hint)
