"""The contract of a model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medbench.core.registry import load_object
from medbench.core.task import TASKS
from medbench.core.text import counted
from medbench.inference.decoding import outputs_by_task
from medbench.models import create_model, model_entry
from medbench.models.registry import factory_of
from medbench.testing.contract import require

if TYPE_CHECKING:
    import torch
    from torch import nn

    from medbench.models.entry import ModelEntry

COUNTS = {"label_map": 3, "image_classes": 4, "image_labels": 4, "landmarks": 2, "boxes": 2}


def check_model(name: str, training_only: Sequence[str] = (), **options: Any) -> None:
    """Check a registered model against the contract that ours keep in the suite.

    A model builds under its card for any number of classes; returns one finite output for every task it
    offers, of the size of its input where the task is a label map, and one number a frame where it is frame
    scores and the model has no predictor of its own (detectors of boxes may return losses in training, given
    the targets of the card's further inputs); answers the same twice, and the same for an image
    whatever else is in the batch; passes a gradient to every parameter; and loads what it saved.
    Costs a few forward passes: give the options of a tiny variant.

    Args:
        name: model name.
        training_only: beginnings of the names of parameters that only a training program of the model's own
            reaches.
        options: of the model.

    Raises:
        ContractError: listing what is broken.
        MedbenchError: ``model.unknown``.
    """
    import torch

    entry = model_entry(name)
    require(f"model {name}", _card_problems(entry))
    require(f"model {name}", _factory_problems(entry, options))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _build(entry, options, COUNTS)
        require(f"model {name}", _network_problems(entry, network))
        require(f"model {name}", _state_problems(network, _build(entry, options, COUNTS)))
        require(f"model {name}", _gradient_problems(entry, network.train(), tuple(training_only)))


def _card_problems(entry: ModelEntry) -> Iterator[str]:
    if not entry.offers:
        yield "the card offers no task"
    for task in entry.offers:
        if task not in TASKS:
            yield f"the card offers '{task}', which is no task ({', '.join(TASKS)})"
    if not entry.title:
        yield "the card has no title"
    keywords = _keywords(entry)
    for option in entry.fixed_options:
        if option not in entry.options and option not in keywords:
            yield f"the variant fixes '{option}', no option of the card and no keyword of the factory"


def _keywords(entry: ModelEntry) -> set[str]:
    """Names of the keywords of a model's factory."""
    factory = factory_of(entry.name)
    return set(inspect.signature(load_object(factory) if isinstance(factory, str) else factory).parameters)


def _sizes(entry: ModelEntry, counts: dict[str, int]) -> dict[str, int]:
    sizes = {keyword: counts[task] for task, keyword in entry.offers.items() if keyword and task in counts}
    return {"num_classes": entry.num_classes, **sizes}


def _factory_problems(entry: ModelEntry, options: dict[str, Any]) -> Iterator[str]:
    target = factory_of(entry.name)
    factory = load_object(target) if isinstance(target, str) else target
    keywords = {"in_channels": entry.in_channels, **_sizes(entry, COUNTS), **entry.fixed_options, **options}
    try:
        inspect.signature(factory).bind(**keywords)
    except TypeError as error:
        yield f"the factory is called with {', '.join(keywords)}, which it does not take: {error}"
    except ValueError:
        return


def _build(entry: ModelEntry, options: dict[str, Any], counts: dict[str, int]) -> nn.Module:
    return create_model(entry.name, **_sizes(entry, counts), **options)


def _input(entry: ModelEntry, batch: int) -> torch.Tensor:
    import torch

    side = max(entry.min_size, min(entry.image_size, 64 if entry.spatial_dims == 2 else 32))
    if "image_size" in entry.options:
        side = entry.image_size
    if entry.spatial_dims == 1:
        return torch.randn(batch, side, entry.in_channels)
    return torch.randn(batch, entry.in_channels, *(side,) * entry.spatial_dims)


def _network_problems(entry: ModelEntry, network: nn.Module) -> Iterator[str]:
    import torch

    tasks = entry.tasks_at_once
    network.eval()
    images = _input(entry, 2)
    extra = _further(entry, images)
    with torch.inference_mode():
        outputs = outputs_by_task(network(images, *extra), tasks)
        again = outputs_by_task(network(images, *extra), tasks)
        alone = outputs_by_task(network(images[:1], *_first(extra)), tasks)
    yield from _output_problems(entry, outputs, images)
    for task in tasks:
        if not _equal(outputs[task], again[task], 0.0):
            yield f"{task}: two calls in evaluation mode differ"
        if not _equal(_first([outputs[task]])[0], alone[task], 1e-3):
            yield f"{task}: the answer for an image depends on what else is in the batch"


def _further(entry: ModelEntry, images: torch.Tensor) -> tuple[Any, ...]:
    import torch

    if entry.modality_mask:
        return (torch.ones(images.shape[:2], dtype=torch.bool),)
    return tuple(load_object(entry.further_inputs)(images)) if entry.further_inputs else ()


def _first(values: Any) -> tuple[Any, ...]:
    return tuple(value[:1] if hasattr(value, "__getitem__") else value for value in values)


def _tensors(output: Any) -> list[torch.Tensor]:
    if isinstance(output, dict):
        return [tensor for value in output.values() for tensor in _tensors(value)]
    if isinstance(output, list | tuple):
        return [tensor for value in output for tensor in _tensors(value)]
    return [output]


def _equal(first: Any, second: Any, tolerance: float) -> bool:
    import torch

    pairs = list(zip(_tensors(first), _tensors(second), strict=False))
    return all(
        a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=tolerance, atol=tolerance)
        for a, b in pairs
    )


def _output_problems(entry: ModelEntry, outputs: dict[str, Any], images: torch.Tensor) -> Iterator[str]:
    for task, output in outputs.items():
        for tensor in _tensors(output):
            if tensor.is_floating_point() and not tensor.isfinite().all():
                yield f"{task}: holds values that are not finite"
        if task == "label_map":
            due = (2, COUNTS[task], *images.shape[2:])
            if tuple(output.shape) != due:
                yield f"label_map: logits have shape {tuple(output.shape)}, not {due}"
        if task in ("image_classes", "image_labels") and tuple(output.shape) != (2, COUNTS[task]):
            yield f"{task}: logits have shape {tuple(output.shape)}, not {(2, COUNTS[task])}"
        if task == "frame_scores" and not entry.predictor and output.shape != images.shape[:2]:
            yield f"frame_scores: has shape {tuple(output.shape)}, not {tuple(images.shape[:2])}"


def _state_problems(network: nn.Module, other: nn.Module) -> Iterator[str]:
    missing, surplus = other.load_state_dict(network.state_dict(), strict=False)
    if missing or surplus:
        yield f"its own state does not load: missing {missing[:3]}, unexpected {surplus[:3]}"


def _gradient_problems(
    entry: ModelEntry, network: nn.Module, training_only: tuple[str, ...]
) -> Iterator[str]:
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return
    images = _input(entry, 2)
    output = network(images, *_further(entry, images))
    has_losses = "boxes" in entry.offers and isinstance(output, dict) and "boxes" not in output
    answers = output if has_losses else outputs_by_task(output, tuple(entry.offers))
    outputs = _tensors(list(answers.values()))
    losses = [output.float().square().mean() for output in outputs if output.requires_grad]
    if not losses:
        yield "no output carries a gradient"
        return
    sum(losses[1:], losses[0]).backward()
    without_gradient = [
        name
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and parameter.grad is None and not name.startswith(training_only)
    ]
    if without_gradient:
        parameters = counted(len(without_gradient), "parameter")
        yield f"no gradient reaches {parameters}, the first is {without_gradient[0]}"
