"""Linear layers, on the CPU by the faster of the two libraries that torch has for matrix products.

torch multiplies float32 matrices by MKL, and its convolutions are oneDNN's. On an AMD EPYC with AVX-512 a
product by oneDNN was measured to take about half the time of MKL's (``speed/models.md``), as if MKL left the
wide registers of processors that are not Intel's unused. Both sum in float32, in another order.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from medbench.core.machine import processor_vendor

_ROWS_AT_ONCE = 1 << 11


class Linear(nn.Linear):
    """:class:`torch.nn.Linear` by :func:`linear`, with the same parameters."""

    def forward(self, features: Tensor) -> Tensor:
        """``(…, inputs)`` to ``(…, outputs)``."""
        return linear(features, self.weight, self.bias)


def linear(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """:func:`torch.nn.functional.linear`, ``(…, inputs)`` to ``(…, outputs)``.

    Args:
        features: ``(…, inputs)``.
        weight: ``(outputs, inputs)``.
        bias: ``(outputs,)``.
    """
    if not (_takes_wide_registers() and _is_plain_float32(features, weight)):
        return functional.linear(features, weight, bias)
    if torch.is_grad_enabled() and any(
        part is not None and part.requires_grad for part in (features, weight, bias)
    ):
        rows: Tensor = _Linear.apply(features.reshape(-1, features.shape[-1]), weight, bias)
        return rows.view(*features.shape[:-1], -1)
    return _by_onednn(features, weight, bias)


@functools.cache
def _takes_wide_registers() -> bool:
    """Whether the processor is of the kind on which oneDNN was measured to be the faster."""
    return (
        processor_vendor() not in ("", "GenuineIntel")
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _is_plain_float32(features: Tensor, weight: Tensor) -> bool:
    return (
        not torch.jit.is_tracing()
        and features.device.type == "cpu"
        and type(features) is Tensor
        and features.dtype == weight.dtype == torch.float32
        and features.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _by_onednn(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As :func:`linear`; a weight whose memory has gaps would be multiplied by a plain loop, hence copied."""
    if not (weight.is_contiguous() or weight.t().is_contiguous()):
        weight = weight.contiguous()
    product: Tensor = torch.ops.mkldnn._linear_pointwise(features, weight, bias, "none", [], "")
    return product


class _Linear(torch.autograd.Function):
    """:func:`_by_onednn` of ``(rows, inputs)`` and its gradients."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(features, weight)
        return _by_onednn(features, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        features, weight = ctx.saved_tensors
        of_features, of_weight, of_bias = ctx.needs_input_grad
        return (
            _by_onednn(gradient, weight.t()) if of_features else None,
            _weight_gradient(gradient, features) if of_weight else None,
            gradient.sum(dim=0) if of_bias else None,
        )


def _weight_gradient(gradient: Tensor, features: Tensor) -> Tensor:
    """Gradient ``(outputs, inputs)`` of the weight for that of the output ``(rows, outputs)``.

    The first factor of oneDNN's product has its rows one after another in memory, so one of the two is
    copied, the narrower; of many rows some at a time, whose copies stay in the processor's cache.
    """
    parts = zip(gradient.split(_ROWS_AT_ONCE), features.split(_ROWS_AT_ONCE), strict=True)
    if gradient.shape[1] < features.shape[1]:
        return _sum(_by_onednn(outputs.t().contiguous(), inputs.t()) for outputs, inputs in parts)
    return _sum(_by_onednn(inputs.t().contiguous(), outputs.t()) for outputs, inputs in parts).t()


def _sum(parts: Iterator[Tensor]) -> Tensor:
    total = next(parts)
    for part in parts:
        total += part
    return total
