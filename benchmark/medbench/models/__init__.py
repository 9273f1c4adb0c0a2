"""Models: one file a paper, shared parts in ``blocks``, one card of facts a family in ``cards``.

Importing this imports no torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medbench.core.errors import MedbenchError
from medbench.core.registry import Registry, load_object, unknown_name
from medbench.models.entry import CARDS, ModelEntry, read_card
from medbench.models.smp_table import smp_entries

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["create_model", "list_models", "model_entry", "official_state_dict", "register_model"]


@functools.cache
def _registry() -> Registry[ModelEntry]:
    registry: Registry[ModelEntry] = Registry("model")
    for card in sorted(CARDS.glob("*.toml")):
        for name, entry in read_card(card).items():
            registry.add(name, entry)
    for entry in smp_entries():
        registry.add(entry.name, entry)
    return registry


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that match a shell-style pattern.

    >>> list_models("dssau*")
    ['dssau_net', 'dssau_net.test']
    """
    return _registry().names(pattern)


def model_entry(name: str) -> ModelEntry:
    """A model's card.

    Raises:
        MedbenchError: ``model.unknown`` with the nearest names.
    """
    return _registry().get(name)


def register_model(entry: ModelEntry) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Decorator for a plugin's factory: makes it known under its card, whose ``factory`` may be empty.

    Raises:
        MedbenchError: ``model.clash`` when the name is taken.
    """

    def keep(factory: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        _registry().add(entry.name, entry)
        _FACTORIES[entry.name] = factory
        return factory

    return keep


_FACTORIES: dict[str, Callable[..., Any]] = {}


def create_model(
    name: str, *, in_channels: int = 3, num_classes: int, image_size: int | None = None, **options: Any
) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: model name.
        in_channels: channels of the input ``(N, in_channels, H, W)``.
        num_classes: classes of the output ``(N, num_classes, H, W)`` logits, with the background.
        image_size: only for architectures that depend on it.
        options: the model's own; ``num_image_classes`` adds an image-level head, and the network then
            returns ``(segmentation logits, image logits)``.

    Raises:
        MedbenchError: ``model.unknown``, or ``model.option`` for an option it does not have.
    """
    entry = model_entry(name)
    accepted = {*entry.options, "num_image_classes"}
    if image_size is not None and "image_size" in entry.options:
        options["image_size"] = image_size
    for option in options:
        if option not in accepted:
            error = unknown_name(f"option of {name}", option, accepted)
            raise MedbenchError("model.option", error.message, error.hint)
    factory = _FACTORIES.get(name) or load_object(entry.factory)
    network: nn.Module = factory(
        in_channels=in_channels, num_classes=num_classes, **{**entry.fixed_options, **options}
    )
    return network


def official_state_dict(name: str, authors_state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' parameter names to ours.

    Raises:
        MedbenchError: ``model.no_official_keys``, or ``weights.unknown_keys`` naming keys that their
            program does not have.
    """
    entry = model_entry(name)
    if not entry.official_keys:
        raise MedbenchError(
            "model.no_official_keys", f"{name} has no table of the authors' parameter names.", "Use our names."
        )
    translate: Callable[[dict[str, Tensor]], dict[str, Tensor]] = load_object(entry.official_keys)
    return translate(authors_state_dict)
