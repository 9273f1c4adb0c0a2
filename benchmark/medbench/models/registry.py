"""Models by name: lists, cards, networks and weights of the authors.

Importing this imports no torch.
"""

from __future__ import annotations

import fnmatch
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from medbench.core.errors import MedbenchError
from medbench.core.registry import Registry, load_object, unknown_name
from medbench.core.text import first_line
from medbench.models.entry import CARDS, ModelEntry, read_card, usual_models
from medbench.models.local.entries import local_entry, local_factory
from medbench.models.local.names import declared_models
from medbench.models.smp_table import smp_entries
from medbench.models.timm_table import PREFIX, timm_entries, timm_entry
from medbench.models.torchvision_table import torchvision_entries

if TYPE_CHECKING:
    from torch import Tensor, nn

    Factory = Callable[..., nn.Module]

_factories: dict[str, Factory] = {}
_OF_VALUES = (TypeError, ValueError, ArithmeticError, LookupError, AssertionError, RuntimeError)
"""What a network's parts raise for a value that they cannot take."""


@functools.cache
def _registry() -> Registry[ModelEntry]:
    registry: Registry[ModelEntry] = Registry("model")
    for card in sorted(CARDS.glob("*.toml")):
        try:
            for name, entry in read_card(card).items():
                registry.add(name, entry)
        except MedbenchError as error:
            registry.report(error)
    for entry in (*smp_entries(), *timm_entries(), *torchvision_entries()):
        registry.add(entry.name, entry)
    return registry


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that match a shell-style pattern; parts, which answer no task, are left out.

    >>> list_models("dssau*")
    ['dssau_net', 'dssau_net.test']
    """
    registry = _registry()
    own = [name for name in registry.names(pattern) if not _is_part(registry.imported(name))]
    return sorted({*own, *fnmatch.filter(_declared(), pattern)})


def _declared() -> list[str]:
    """Models of the project file; none where it cannot be read, which is logged."""
    try:
        return declared_models()
    except MedbenchError as error:
        _registry().report(error)
        return []


def list_parts(pattern: str = "*") -> list[str]:
    """Names of the parts of networks that :func:`create_model` builds and no challenge runs.

    >>> list_parts("cm_cgns.image_dec*")
    ['cm_cgns.image_decoder', 'cm_cgns.image_decoder_vit']
    """
    registry = _registry()
    return [name for name in registry.names(pattern) if _is_part(registry.imported(name))]


def _is_part(entry: ModelEntry | None) -> bool:
    return isinstance(entry, ModelEntry) and not entry.offers


def model_entries(pattern: str = "*") -> list[ModelEntry]:
    """Cards of the models that match a shell-style pattern; parts and broken cards are left out."""
    entries = []
    for name, entry in _registry().values(pattern):
        if _is_part(entry):
            continue
        try:
            entries.append(_checked(name, entry))
        except MedbenchError as error:
            _registry().report(error)
    return entries


def _checked(name: str, entry: ModelEntry) -> ModelEntry:
    if not isinstance(entry, ModelEntry):
        raise MedbenchError(
            "model.entry",
            f"What is registered as model '{name}' is {type(entry).__name__}, not a ModelEntry.",
            "Register medbench.models.ModelEntry(name, title, factory).",
        )
    return entry


def model_entry(name: str) -> ModelEntry:
    """A model's card, by its name or an alias; ``timm/NAME`` for any of timm; a model of one's own.

    Raises:
        MedbenchError: ``model.unknown`` with the nearest names, or as
            :func:`medbench.models.local.entries.local_entry`.
    """
    registry = _registry()
    if name not in registry:
        for candidate in registry:
            if name in registry.get(candidate).aliases:
                return registry.get(candidate)
        if name.startswith(PREFIX):
            return timm_entry(name.removeprefix(PREFIX))
        own = local_entry(name)
        if own is not None:
            return own
        raise unknown_name("model", name, usual_models({*registry, *_declared()}))
    return _checked(name, registry.get(name))


def register_model(entry: ModelEntry) -> Callable[[Factory], Factory]:
    """Decorator that registers a plug-in's factory with its card, whose ``factory`` may be empty.

    An installed package registers by an entry point of the group ``medbench.models``, with the model's name
    and a :class:`ModelEntry` as object, and is imported on first use.

    Raises:
        MedbenchError: ``model.entry`` unless ``entry`` is a card, ``model.clash`` when the name is taken.
    """

    _checked(getattr(entry, "name", repr(entry)), entry)

    def keep(factory: Factory) -> Factory:
        _registry().add(entry.name, entry)
        _factories[entry.name] = factory
        return factory

    return keep


def create_model(
    name: str,
    *,
    in_channels: int | None = None,
    num_classes: int | None = None,
    image_size: int | None = None,
    **options: Any,
) -> nn.Module:
    """A network with fresh weights.

    Args:
        name: model name.
        in_channels: channels of the input ``(N, in_channels, H, W)``; the published number if ``None``.
        num_classes: classes of the output ``(N, num_classes, H, W)`` logits, with the background; the
            published number if ``None``.
        image_size: side of the square input in pixels; ignored where the architecture does not depend on it.
        options: options of the model. ``num_image_classes`` is an option of every model with an image-level
            head: with a number the network returns ``(segmentation logits, image logits)``, with ``None``,
            the default, the segmentation logits alone.

    Raises:
        MedbenchError: ``model.unknown``, or ``model.option`` for an option that the model does not have or a
            value that it cannot take.
    """
    entry = model_entry(name)
    in_channels = entry.in_channels if in_channels is None else in_channels
    num_classes = entry.num_classes if num_classes is None else num_classes
    for what, number in (("in_channels", in_channels), ("num_classes", num_classes)):
        if number < 1:
            raise MedbenchError(
                "model.option", f"{name}: {what}={number} is not positive.", "Give 1 or more."
            )
    if image_size is not None and "image_size" in entry.options:
        options["image_size"] = image_size
    check_options(entry, options)
    factory: Factory = load_object(target) if isinstance(target := factory_of(entry.name), str) else target
    keywords = {**entry.fixed_options, **options}
    try:
        network: nn.Module = factory(**_numbers(entry, factory, in_channels, num_classes), **keywords)
    except _OF_VALUES as error:
        own = {name: value for name, value in options.items() if name in entry.options}
        if not own:
            raise
        raise _unbuildable(entry, own, error) from error
    return network


def _numbers(entry: ModelEntry, factory: Factory, in_channels: int, num_classes: int) -> dict[str, int]:
    """The numbers that a factory is called with: both, but of a part of a network those that it takes."""
    numbers = {"in_channels": in_channels, "num_classes": num_classes}
    if not _is_part(entry):
        return numbers
    parameters = inspect.signature(factory).parameters
    return {name: number for name, number in numbers.items() if name in parameters}


def _unbuildable(entry: ModelEntry, options: Mapping[str, Any], error: Exception) -> MedbenchError:
    """The error for values of options that a network cannot be built with."""
    first = first_line(error, type(error).__name__)
    values = ", ".join(f"{name}={value}" for name, value in options.items())
    defaults = ", ".join(f"{name}={entry.options[name].default}" for name in options)
    return MedbenchError(
        "model.option",
        f"{entry.name} cannot be built with {values} ({first}).",
        f"By default {defaults}; 'medbench models show {entry.name}' explains each.",
    )


def check_options(entry: ModelEntry, options: Mapping[str, Any]) -> None:
    """Refuse an option that the model does not have; ``image_size`` is an option of every model.

    Raises:
        MedbenchError: ``model.option`` with the nearest names.
    """
    names = {*entry.options, *entry.offers.values()} - {"", "num_classes"}
    for option in options:
        if option not in names and option != "image_size":
            hint = unknown_name("option", option, names).hint
            own_names = f"Options of {entry.name}: {', '.join(sorted(names)) or 'none'}."
            raise MedbenchError(
                "model.option",
                f"{entry.name} has no option '{option}'.",
                own_names if hint.startswith("Known") else f"{hint} {own_names}",
            )


def factory_of(name: str) -> Factory | str:
    """The factory of a model: a plug-in's function, or ``"module:callable"`` of its card.

    Raises:
        MedbenchError: ``model.unknown`` with the nearest names.
    """
    entry = model_entry(name)
    return (local_factory(entry.name) if entry.local else _factories.get(entry.name)) or entry.factory


def official_state_dict(
    name: str, authors_state_dict: Mapping[str, Tensor], **options: Any
) -> dict[str, Tensor]:
    """The authors' weights under medbench's names, checked to be complete and of the right shapes.

    Args:
        name: model name.
        authors_state_dict: as their program saves it.
        options: options of the authors' network, where they differ from the defaults; numbers of channels and
            classes are read from the weights.

    Raises:
        MedbenchError: ``model.no_official_keys``; ``weights.unknown_keys`` for parameters that their program
            does not have; ``weights.mismatch`` naming parameters that are missing or of another shape.
    """
    entry = model_entry(name)
    if not entry.official_keys:
        raise MedbenchError(
            "model.no_official_keys",
            f"{name} has no table of the authors' parameter names.",
            "Use medbench's parameter names.",
        )
    translate: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = load_object(entry.official_keys)
    ours = translate(authors_state_dict)
    shapes = _expected_shapes(entry, ours, options)
    missing = [key for key in shapes if key not in ours]
    wrong = [
        f"{key} {tuple(ours[key].shape)} instead of {shape}"
        for key, shape in shapes.items()
        if key in ours and tuple(ours[key].shape) != shape
    ]
    excess = [key for key in ours if key not in shapes]
    if missing or wrong or excess:
        problems = [
            f"{len(keys)} {kind} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
            for kind, keys in (("missing", missing), ("of another shape", wrong), ("unknown", excess))
            if keys
        ]
        raise MedbenchError(
            "weights.mismatch",
            f"The authors' parameters do not make a {entry.title}: {'; '.join(problems)}.",
            "Give the options that their network was built with, or the right checkpoint.",
        )
    return ours


def _expected_shapes(
    entry: ModelEntry, ours: Mapping[str, Tensor], options: Mapping[str, Any]
) -> dict[str, tuple[int, ...]]:
    import torch

    counts = {"in_channels": entry.in_channels, "num_classes": entry.num_classes}
    for what, (parameter, axis) in entry.official_shapes.items():
        if parameter in ours and ours[parameter].ndim > axis:
            counts[what] = ours[parameter].shape[axis]
    with torch.device("meta"):
        network = create_model(entry.name, **{**counts, **options})
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
