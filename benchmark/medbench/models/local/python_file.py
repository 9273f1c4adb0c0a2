"""Networks of a class in a Python file: which keywords it takes, and how it is built."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.errors import MedbenchError
from medbench.core.plugins import load_plugin, module_of
from medbench.core.registry import unknown_name
from medbench.core.text import first_line
from medbench.models.entry import ModelOption
from medbench.models.local.names import LocalModel

if TYPE_CHECKING:
    from torch import nn

IN_CHANNELS = (
    "in_channels",
    "in_chans",
    "in_ch",
    "n_channels",
    "input_channels",
    "img_ch",
    "channels",
    "inchannels",
)
NUM_CLASSES = ("num_classes", "n_classes", "out_channels", "classes", "out_ch", "num_class", "n_class",
               "output_ch", "nclass", "outchannels")  # fmt: skip


def load_class(model: LocalModel) -> Callable[..., nn.Module]:
    """The class, or the function that makes the network.

    Raises:
        MedbenchError: ``plugin.broken`` with the line that fails, or ``model.class`` with the names that the
            file has.
    """
    try:
        load_plugin(model.path)
    except MedbenchError as error:
        message = error.message.replace("the plug-in cannot", "the file cannot")
        raise MedbenchError(error.code, message, "Repair the file.") from error
    module = sys.modules[module_of(model.path)]
    maker = getattr(module, model.object_name, None)
    if not callable(maker):
        names = [name for name, value in vars(module).items() if _is_own_class(value, module.__name__)]
        hint = unknown_name("class", model.object_name, names).hint
        raise MedbenchError("model.class", f"{model.name}: the file has no class of that name.", hint)
    factory: Callable[..., nn.Module] = maker
    return factory


def _is_own_class(value: Any, module: str) -> bool:
    return inspect.isclass(value) and value.__module__ == module


def options_of(model: LocalModel) -> dict[str, ModelOption]:
    """Options of the class: its keywords but those of channels and classes.

    Raises:
        MedbenchError: as :func:`load_class`.
    """
    parameters = _parameters(load_class(model))
    channel_names = {_first(IN_CHANNELS, parameters), _first(NUM_CLASSES, parameters)}
    return {
        name: ModelOption(None if one.default is one.empty else one.default)
        for name, one in parameters.items()
        if name not in channel_names
    }


def takes_channels(model: LocalModel) -> bool:
    """Whether the class is told the number of input channels."""
    return bool(_first(IN_CHANNELS, _parameters(load_class(model))))


def build(model: LocalModel, in_channels: int, num_classes: int, options: Mapping[str, Any]) -> nn.Module:
    """The network of the class, called with the channels and classes under the names that it has for them.

    Raises:
        MedbenchError: ``model.build`` with what the class raised, ``model.class`` for what is no network.
    """
    from torch import nn

    factory = load_class(model)
    parameters = _parameters(factory)
    keywords = dict(options)
    for names, number in ((IN_CHANNELS, in_channels), (NUM_CLASSES, num_classes)):
        name = _first(names, parameters)
        if name:
            keywords[name] = number
    try:
        network = factory(**keywords)
    except MedbenchError:
        raise
    except Exception as error:
        call = ", ".join(f"{name}={value!r}" for name, value in keywords.items())
        raise MedbenchError(
            "model.build",
            f"{model.name}({call}) fails: {failure(error, model.path)}.",
            "The class is called with its channels, classes and the options of --set, all by keyword.",
        ) from error
    if not isinstance(network, nn.Module):
        raise MedbenchError(
            "model.class",
            f"{model.name} makes a {type(network).__name__}, not a torch.nn.Module.",
            "Name the class of the network, or a function that returns one.",
        )
    network.register_forward_hook(_first_output)
    return network


def _first_output(_network: nn.Module, _inputs: Any, output: Any) -> Any:
    """The logits of a network that returns more: the first of a list, or of a mapping without our tasks."""
    if isinstance(output, Mapping) and output and not {"label_map", "image_classes"} & output.keys():
        return next(iter(output.values()))
    return output[0] if isinstance(output, list) and output else output


def failure(error: Exception, path: Path) -> str:
    """Text of an exception, with the last line of the file that it passed."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    line = f", line {own[-1].lineno} of {path.name}" if own else ""
    return f"{type(error).__name__}: {first_line(error)}{line}"


def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: one for name, one in inspect.signature(factory).parameters.items() if one.kind in kinds}


def _first(names: tuple[str, ...], parameters: Mapping[str, Any]) -> str:
    return next((name for name in names if name in parameters), "")
