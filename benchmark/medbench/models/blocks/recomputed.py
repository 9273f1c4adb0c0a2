"""Steps that compute their intermediate results again in the backward pass instead of keeping them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
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
