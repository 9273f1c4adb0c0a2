"""Steps that compute their intermediate results again in the backward pass instead of keeping them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(step: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
    """``step(*inputs)``; in training only the inputs are kept, and the step runs again for its gradient.

    It runs again no further than to the last intermediate result that the gradient needs, so a matrix product
    at its end is not repeated. The step must be without randomness.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return step(*inputs)
    result: Tensor = checkpoint(step, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result


def of_activation(layer: nn.Module, activation: Callable[[Tensor], Tensor], hidden: Tensor) -> Tensor:
    """``layer(activation(hidden))``; in training the activation is computed again instead of kept.

    Its gradient needs ``hidden`` in any case. Nothing of the layer runs again, also where its products are a
    function with a gradient of its own, of which :func:`recomputed` would repeat the product.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing():
        result: Tensor = layer(activation(hidden))
        return result
    active = activation(hidden)
    storage, source = active.untyped_storage()._cdata, hidden.detach()

    def keep(tensor: Tensor) -> Tensor | torch.Size:
        whole = tensor.numel() == source.numel() and tensor.is_contiguous()
        return tensor.shape if whole and tensor.untyped_storage()._cdata == storage else tensor

    def recall(value: Tensor | torch.Size) -> Tensor:
        return activation(source).view(value) if isinstance(value, torch.Size) else value

    with torch.autograd.graph.saved_tensors_hooks(keep, recall):
        result = layer(active)
    return result
