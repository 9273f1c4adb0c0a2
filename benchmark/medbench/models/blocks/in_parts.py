"""Results of a function for parts of its inputs, joined, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Part = Callable[..., Tensor]


def in_parts(
    part: Part, count: int, size: int, cut: Sequence[Tensor], whole: Sequence[Tensor | None]
) -> Tensor:
    """The results of a function for ``size`` of ``count`` entries of the third axis at a time, joined there.

    Where there are several parts, what the function computes on the way is not kept for the gradient but
    computed again, with the same random numbers. Results and gradients are written into tensors that are
    there from the start: small ones that stay between large ones that go would leave gaps in the heap, which
    add up.

    Args:
        part: of the cut tensors' parts and the whole tensors; uses no other tensor that has a gradient.
        count: entries of the third axis.
        size: of them at a time.
        cut: tensors that are cut.
        whole: tensors that every part is given.
    """
    if count <= size:
        return part(*cut, *whole)
    sizes, tensors = (count, size, len(cut)), (*cut, *whole)
    if not torch.is_grad_enabled():
        return _joined(part, sizes, tensors)
    output: Tensor = _Parts.apply(part, sizes, int(torch.randint(1 << 48, ())), *tensors)
    return output


def _joined(
    part: Part, sizes: tuple[int, int, int], tensors: Sequence[Tensor | None], seed: int | None = None
) -> Tensor:
    """The results of all parts, each with random numbers of its own seed where one is given."""
    count, size, _ = sizes
    starts = range(0, count, size)
    device = _device(tensors)
    first = _result(part, _taken(tensors, sizes, 0), seed, device)
    step = first.shape[2]
    output = first.new_empty((*first.shape[:2], step * count // size, *first.shape[3:]))
    output[:, :, :step] = first
    for place, start in enumerate(starts[1:], 1):
        own = None if seed is None else seed + place
        result = _result(part, _taken(tensors, sizes, start), own, device)
        output[:, :, place * step : place * step + result.shape[2]] = result
    return output


def _result(part: Part, inputs: Iterable[Tensor | None], seed: int | None, device: torch.device) -> Tensor:
    if seed is None:
        return part(*inputs)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        return part(*inputs)


def _device(tensors: Sequence[Tensor | None]) -> torch.device:
    return next(tensor.device for tensor in tensors if tensor is not None)


class _Parts(torch.autograd.Function):
    """:func:`in_parts` for several parts."""

    @staticmethod
    def forward(
        ctx: Any, part: Part, sizes: tuple[int, int, int], seed: int, *tensors: Tensor | None
    ) -> Tensor:
        kind = _device(tensors).type
        ctx.part, ctx.sizes, ctx.seed = part, sizes, seed
        ctx.autocast = {"enabled": torch.is_autocast_enabled(kind), "dtype": torch.get_autocast_dtype(kind)}
        ctx.save_for_backward(*tensors)
        return _joined(part, sizes, tensors, seed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tensors, (count, size, n_cut) = ctx.saved_tensors, ctx.sizes
        device = _device(tensors)
        places = [place for place, needs_gradient in enumerate(ctx.needs_input_grad[3:]) if needs_gradient]
        gradients = {place: torch.zeros_like(tensors[place]) for place in places}
        end = 0
        for place, start in enumerate(range(0, count, size)):
            inputs = [
                tensor if tensor is None else tensor.detach().requires_grad_(index in gradients)
                for index, tensor in enumerate(_taken(tensors, ctx.sizes, start))
            ]
            with torch.enable_grad(), torch.autocast(device.type, cache_enabled=False, **ctx.autocast):
                result = _result(ctx.part, inputs, ctx.seed + place, device)
            begin, end = end, end + result.shape[2]
            due = [tensor for index in places if (tensor := inputs[index]) is not None]
            own = torch.autograd.grad(result, due, gradient[:, :, begin:end])
            for index, value in zip(places, own, strict=True):
                total = gradients[index]
                (total[:, :, start : start + size] if index < n_cut else total).add_(value)
        return (None, None, None, *(gradients.get(place) for place in range(len(tensors))))


def _taken(
    tensors: Sequence[Tensor | None], sizes: tuple[int, int, int], start: int
) -> Iterator[Tensor | None]:
    """Parts of the cut tensors, and the whole ones."""
    _, size, n_cut = sizes
    for place, tensor in enumerate(tensors):
        yield tensor if tensor is None or place >= n_cut else tensor[:, :, start : start + size]
