"""How nnU-Net prepared the data of a training, by which folds of other trainings are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OF_CONFIGURATION = ("spacing", "patch_size", "normalization_schemes", "use_mask_for_norm")
_OF_PLANS = ("transpose_forward", "foreground_intensity_properties_per_channel")
_OF_DATASET = ("labels", "channel_names", "regions_class_order")


def preparation_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Preparation by a checkpoint's plans and data set; empty where the checkpoint has none.

    Args:
        arguments: of the trainer, as nnU-Net keeps them in a checkpoint.
    """
    plans, dataset = arguments.get("plans"), arguments.get("dataset_json")
    own = prepared_by(plans, arguments.get("configuration")) if isinstance(plans, Mapping) else {}
    data = {name: dataset.get(name) for name in _OF_DATASET} if isinstance(dataset, Mapping) else {}
    return {**own, **data}


def prepared_by(plans: Mapping[str, Any], configuration: Any) -> dict[str, Any]:
    """Preparation of data that plans prescribe for a configuration, inherited settings included."""
    configurations = plans.get("configurations")
    settings: dict[str, Any] = {}
    names: list[Any] = []
    while (
        isinstance(configurations, Mapping) and configuration in configurations and configuration not in names
    ):
        own = configurations[configuration]
        if not isinstance(own, Mapping):
            break
        settings = {**own, **settings}
        names.append(configuration)
        configuration = own.get("inherits_from")
    parts = {name: settings[name] for name in _OF_CONFIGURATION if name in settings}
    return {**parts, **{name: plans[name] for name in _OF_PLANS if name in plans}}


def differing_parts(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of parts that both have and that are not the same.

    >>> differing_parts({"spacing": (1, 1), "labels": {}}, {"spacing": [1, 2]})
    ['spacing']
    """
    return [name for name, value in one.items() if name in other and _plain(value) != _plain(other[name])]


def _plain(value: Any) -> Any:
    """A value as JSON keeps it: lists, and text as keys; the order of keys counts."""
    if isinstance(value, Mapping):
        return [[str(name), _plain(part)] for name, part in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
