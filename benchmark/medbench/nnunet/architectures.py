"""Names that nnU-Net's plans may use: a closed table of networks, layers and steps.

nnU-Net imports and calls whatever its plans name, so plans from elsewhere could run any code. Nothing is
built of plans before every name in them was found here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medbench.core.errors import MedbenchError

_UNETS = ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")
_PACKAGE = "dynamic_network_architectures"
NETWORKS = frozenset(
    f"{_PACKAGE}.architectures.{module}.{name}" for module in ("unet", "residual_unet") for name in _UNETS
)
_LAYERS: Mapping[str, tuple[str, ...]] = {
    "conv": ("Conv1d", "Conv2d", "Conv3d"),
    "instancenorm": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
    "batchnorm": ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"),
    "dropout": ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"),
    "activation": ("LeakyReLU", "ReLU", "ReLU6", "PReLU", "ELU", "GELU", "SiLU", "Mish", "Softplus"),
}
LAYERS = frozenset(
    f"torch.nn.{place}{name}"
    for module, names in _LAYERS.items()
    for name in names
    for place in ("", f"modules.{module}.")
) | {f"{_PACKAGE}.building_blocks.residual.{name}" for name in ("BasicBlockD", "BottleneckD")}
_RESAMPLING = frozenset(
    (
        "resample_data_or_seg_to_shape",
        "resample_torch_simple",
        "resample_torch_fornnunet",
        "no_resampling_hack",
    )
)
STEPS: Mapping[str, frozenset[str]] = {
    "preprocessor_name": frozenset(("DefaultPreprocessor",)),
    "normalization_schemes": frozenset(
        f"{name}Normalization" for name in ("ZScore", "CT", "No", "RescaleTo01", "RGBTo01")
    ),
    "resampling_fn_data": _RESAMPLING,
    "resampling_fn_seg": _RESAMPLING,
    "resampling_fn_probabilities": _RESAMPLING,
    "UNet_class_name": frozenset(_UNETS),
}
LABEL_MANAGERS = frozenset(("LabelManager",))
GREATEST = 1 << 16
"""No number of channels, stages, voxels or folds of a network is larger."""


def check_plans(plans: Mapping[str, Any], source: str) -> None:
    """Refuse plans that name anything but what the tables here hold.

    Args:
        plans: ``plans.json``, of a folder or inside a checkpoint.
        source: names the weights in errors.

    Raises:
        MedbenchError: ``weights.unsafe`` naming what it is; ``nnunet.no_plans`` for plans without
            configurations.
    """
    configurations = plans.get("configurations")
    if not isinstance(configurations, Mapping) or not all(
        isinstance(plan, Mapping) for plan in configurations.values()
    ):
        raise MedbenchError(
            "nnunet.no_plans", f"{source}: its plans have no configurations.", "Copy the model folder again."
        )
    _check("label_manager", plans.get("label_manager", "LabelManager"), LABEL_MANAGERS, source)
    for plan in configurations.values():
        check_configuration(plan, source)


def check_configuration(plan: Mapping[str, Any], source: str) -> None:
    """Refuse a configuration that names anything but what the tables here hold.

    Raises:
        MedbenchError: ``weights.unsafe``.
    """
    for entry, choices in STEPS.items():
        names = plan.get(entry, ())
        for name in names if isinstance(names, list | tuple) else (names,):
            _check(entry, name, choices, source)
        _check_plain(plan.get(f"{entry}_kwargs"), source)
    architecture = plan.get("architecture")
    if architecture is None:
        return
    if not isinstance(architecture, Mapping):
        raise _refused(source, f"the architecture {architecture!r}")
    if architecture.get("network_class_name") is not None:
        _check("network_class_name", architecture["network_class_name"], NETWORKS, source)
    kwargs = architecture.get("arch_kwargs", {})
    _check_plain(kwargs, source)
    for entry in architecture.get("_kw_requires_import", ()):
        if isinstance(kwargs, Mapping) and kwargs.get(entry) is not None:
            _check(str(entry), kwargs[entry], LAYERS, source)


def _check(entry: str, name: Any, choices: frozenset[str], source: str) -> None:
    if not isinstance(name, str) or name not in choices:
        raise _refused(source, f"{str(name)[:80]} as {entry}")


def _check_plain(value: Any, source: str) -> None:
    """Refuse values that no layer takes: numbers beyond any size of a network, and what is no JSON."""
    for leaf in _leaves(value):
        if not isinstance(leaf, str | int | float | None) or (
            isinstance(leaf, int | float) and not abs(leaf) <= GREATEST
        ):
            raise _refused(source, f"the value {str(leaf)[:40]}")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _refused(source: str, what: str) -> MedbenchError:
    return MedbenchError(
        "weights.unsafe",
        f"{source}: refused: its plans name {what}, which is no part of nnU-Net; that could run code.",
        "Use plans made by nnU-Net itself.",
    )
