"""Cards of models of one's own, before a challenge is known."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medbench.models.entry import ModelEntry, ModelOption
from medbench.models.local.names import LocalModel, local_model

if TYPE_CHECKING:
    from torch import nn

    Factory = Callable[..., nn.Module]

CONTRACT_OPTION = "contract"
_PREDICTORS = {
    "command": "medbench.inference.programs:program_predictor",
    "docker": "medbench.submissions.rehearse.image_predictor:image_predictor",
}


def local_entry(name: str) -> ModelEntry | None:
    """The card of a model of one's own; ``None`` for other names.

    A Python file is imported for the options of its class; an exported network is not opened yet.

    Raises:
        MedbenchError: as :func:`medbench.models.local.names.local_model`, or as
            :func:`medbench.models.local.python_file.load_class`.
    """
    model = local_model(name)
    if model is None:
        return None
    facts: dict[str, Any] = {
        "name": model.name,
        "title": model.title or model.name,
        "factory": "medbench.models.local.entries:make",
        "family": "local",
        "local": model.kind,
        "in_channels": int(model.input.get("channels", 3)),
    }
    if model.kind == "python":
        from medbench.models.local.python_file import options_of

        return ModelEntry(**facts, options=options_of(model), fixed_options=dict(model.options))
    facts |= {"learns": False, "source_sha256": model.sha256()}
    if model.kind == "file":
        option = ModelOption(None, "input contract: size, channels, channel_order, scale, mean, std")
        return ModelEntry(**facts, options={CONTRACT_OPTION: option})
    return ModelEntry(**facts, predictor=_PREDICTORS[model.kind])


def local_factory(name: str) -> Factory | None:
    """The factory of a user's own model; ``None`` for other names.

    Raises:
        MedbenchError: as :func:`local_entry`.
    """
    model = local_model(name)
    return None if model is None else functools.partial(make, model)


def make(model: LocalModel, *, in_channels: int, num_classes: int, **options: Any) -> nn.Module:
    """A network of a model of one's own.

    Raises:
        MedbenchError: ``model.build`` for a class that cannot be built, or ``model.file``.
    """
    options.pop(CONTRACT_OPTION, None)
    if model.kind == "python":
        from medbench.models.local.python_file import build

        return build(model, in_channels, num_classes, options)
    if model.kind == "file":
        from medbench.models.local.exported import load_exported

        return load_exported(model.path)
    from medbench.models.local.program_module import Program

    return Program(model, num_classes)
