"""Cost of one call of an operator, where torch's own table has no formula.

Every operator is in one of four classes, so that no operator costs zero by omission:

* multiply-accumulates: convolutions and matrix products, by torch's table and :func:`product_formulas`;
* other arithmetic: :func:`other_flops`, by the conventions in its table;
* moves and selections (views, copies, padding, gathering, sorting, nearest upsampling): no arithmetic;
* other operators: not counted, and named in the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

SOFTMAX = 5
"""An element: maximum, subtraction, exponential, sum, division."""

NORM = 7
"""An element, where the statistics are computed: mean, subtraction, square, sum, division, scale, shift."""

FOLDED_NORM = 2
"""An element, where the statistics are given: one multiplication, one addition."""

BICUBIC = 31
"""An output element from sixteen neighbours: their multiplications and additions."""


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in an operator's arguments or result."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    length, width = query[-2:]
    return 2 * math.prod(query[:-2]) * length * key[-2] * (width + value[-1])


def _vectors(first: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * math.prod(first)


def _added_vector(_: Any, matrix: Sequence[int], *__: Any, **___: Any) -> int:
    return 2 * math.prod(matrix)


def _added_product(_: Any, first: Sequence[int], second: Sequence[int], *__: Any, **___: Any) -> int:
    return 2 * math.prod(first) * second[-1]


def _linear(features: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * math.prod(features) * weight[0]


def _deformable(_: Any, weight: Sequence[int], *__: Any, out_shape: Sequence[int], **___: Any) -> int:
    return 2 * out_shape[0] * math.prod(out_shape[2:]) * math.prod(weight)


def _recurrent(
    inputs: Sequence[int], input_weight: Sequence[int], hidden_weight: Sequence[int], *_: Any, **__: Any
) -> int:
    return 2 * math.prod(inputs[:2]) * (math.prod(input_weight) + math.prod(hidden_weight))


_PRODUCTS: dict[str, Callable[..., int]] = {
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten._scaled_dot_product_fused_attention_overrideable": _attention,
    "aten._scaled_dot_product_attention_math_for_mps": _attention,
    "aten.dot": _vectors,
    "aten.vdot": _vectors,
    "aten.mv": _vectors,
    "aten.addmv": _added_vector,
    "aten._addmm_activation": _added_product,
    "aten.mkldnn_rnn_layer": _recurrent,
    "mkldnn._linear_pointwise": _linear,
    "torchvision.deform_conv2d": _deformable,
}


def product_formulas() -> dict[Any, Callable[..., int]]:
    """Operator -> formula of its FLOPs (two per multiply-accumulate), for products that torch's table lacks.

    Attention is two products, ``(…, L, E) × (…, E, S)`` and ``(…, L, S) × (…, S, V)``; a causal mask saves
    nothing. A deformable convolution has the FLOPs of an ordinary one; its sampling is other arithmetic.
    """
    formulas = {}
    for name, formula in _PRODUCTS.items():
        library, _, operator = name.partition(".")
        packet = getattr(getattr(torch.ops, library), operator, None)
        if packet is not None:
            formulas[packet] = formula
    return formulas


Arguments = Sequence[Any]
Formula = Callable[[Arguments, Any], float]


def _elements(value: Any) -> int:
    return sum(tensor.numel() for tensor in tensors(value))


def _inputs(each: float) -> Formula:
    return lambda arguments, _: each * arguments[0].numel()


def _outputs(each: float) -> Formula:
    return lambda _, result: each * next(tensors(result)).numel()


def _norm(arguments: Arguments, _: Any) -> float:
    training = bool(arguments[5])
    return float((NORM if training else FOLDED_NORM) * arguments[0].numel())


def _bias(position: int) -> Formula:
    def count(arguments: Arguments, result: Any) -> float:
        present = len(arguments) > position and isinstance(arguments[position], Tensor)
        return _elements(result) if present else 0.0

    return count


def _window(arguments: Arguments, result: Any) -> float:
    planes: Tensor = arguments[0]
    sizes = list(arguments[1])
    area = sizes[0] ** (planes.ndim - 2) if len(sizes) == 1 else math.prod(sizes)
    return float(area * next(tensors(result)).numel())


def _sampled(neighbours: int) -> Formula:
    def count(arguments: Arguments, result: Any) -> float:
        each = {0: 2 * neighbours - 1, 1: 0, 2: BICUBIC}[arguments[2]]
        return float(each * _elements(result))

    return count


def _antialiased(support: int) -> Formula:
    """Two passes with ``2 * support`` neighbours along each axis, more where the image shrinks."""

    def count(arguments: Arguments, result: Any) -> float:
        planes: Tensor = arguments[0]
        taps = [
            2 * support * max(1.0, before / after)
            for before, after in zip(planes.shape[-2:], result.shape[-2:], strict=True)
        ]
        between = planes.shape[0] * planes.shape[1] * planes.shape[2] * result.shape[3]
        return between * (2 * taps[1] - 1) + result.numel() * (2 * taps[0] - 1)

    return count


def _fourier(share: float) -> Formula:
    def count(arguments: Arguments, result: Any) -> float:
        longer = arguments[0] if arguments[0].numel() >= _elements(result) else result
        length = math.prod(longer.shape[dim] for dim in arguments[1])
        return share * 5 * longer.numel() * math.log2(max(length, 1))

    return count


def _attention_softmax(arguments: Arguments, _: Any) -> float:
    query, key = arguments[0], arguments[1]
    return float(SOFTMAX * math.prod(query.shape[:-1]) * key.shape[-2])


def _distances(arguments: Arguments, result: Any) -> float:
    return float(3 * _elements(result) * arguments[0].shape[-1])


def _deformable_sampling(arguments: Arguments, result: Any) -> float:
    inputs, weight = arguments[0], arguments[1]
    samples = result.shape[0] * math.prod(result.shape[2:]) * math.prod(weight.shape[2:]) * inputs.shape[1]
    return float(7 * samples)


def _names(text: str) -> list[str]:
    return text.split()


_OTHER: dict[str, Formula] = {
    **dict.fromkeys(
        _names(
            "sum mean amax amin max min argmax argmin prod var var_mean std std_mean norm linalg_vector_norm "
            "logsumexp any all cumsum cumprod logcumsumexp aminmax nansum median count_nonzero "
            "adaptive_avg_pool2d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d "
            "adaptive_max_pool3d col2im"
        ),
        _inputs(1),
    ),
    **dict.fromkeys(
        _names(
            "maximum minimum _prelu_kernel threshold threshold_ floor_divide floor_divide_ linspace "
            "hardswish hardswish_ hardsigmoid hardsigmoid_"
        ),
        _outputs(1),
    ),
    "native_dropout": _outputs(2),
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax"), _inputs(SOFTMAX)),
    **dict.fromkeys(("native_layer_norm", "native_group_norm", "_fused_rms_norm"), _inputs(NORM)),
    "native_batch_norm": _norm,
    "cudnn_batch_norm": _norm,
    "_native_batch_norm_legit": lambda arguments, _: float(NORM * arguments[0].numel()),
    "_native_batch_norm_legit_no_training": _inputs(FOLDED_NORM),
    **dict.fromkeys(
        _names("avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices max_pool2d"), _window
    ),
    **dict.fromkeys(("upsample_linear1d",), _outputs(3)),
    "upsample_bilinear2d": _outputs(7),
    "upsample_trilinear3d": _outputs(15),
    "upsample_bicubic2d": _outputs(BICUBIC),
    "_upsample_bilinear2d_aa": _antialiased(1),
    "_upsample_bicubic2d_aa": _antialiased(2),
    "grid_sampler_2d": _sampled(4),
    "cudnn_grid_sampler": lambda _, result: float(7 * _elements(result)),
    "grid_sampler_3d": _sampled(8),
    "_fft_c2c": _fourier(1),
    "_fft_r2c": _fourier(0.5),
    "_fft_c2r": _fourier(0.5),
    "_cdist_forward": _distances,
    **dict.fromkeys(
        ("index_add", "index_add_", "scatter_add", "scatter_add_"),
        lambda arguments, _: float(arguments[3].numel()),
    ),
    "addmm": _outputs(1),
    "baddbmm": _outputs(1),
    "_addmm_activation": _outputs(2),
    **dict.fromkeys(
        ("convolution", "_convolution", "cudnn_convolution", "mkldnn._linear_pointwise"), _bias(2)
    ),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_fused_attention_overrideable",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
        ),
        _attention_softmax,
    ),
    "torchvision.deform_conv2d": _deformable_sampling,
}

_MOVES = frozenset(
    _names(
        "clone _to_copy copy copy_ _copy_from contiguous cat stack gather index index_put index_put_ "
        "_index_put_impl_ _unsafe_index _unsafe_index_put _unsafe_view _reshape_alias index_select "
        "index_fill index_fill_ index_copy index_copy_ scatter scatter_ take take_along_dim masked_select "
        "embedding constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
        "replication_pad2d replication_pad3d _pad_circular pixel_shuffle pixel_unshuffle channel_shuffle "
        "native_channel_shuffle roll flip rot90 repeat repeat_interleave im2col unfold_copy tril triu "
        "tril_indices triu_indices empty empty_like empty_strided empty_permuted zeros zeros_like ones "
        "ones_like full full_like new_empty new_empty_strided new_zeros new_ones new_full arange eye "
        "scalar_tensor lift lift_fresh lift_fresh_copy lift_fresh_ detach detach_ fill fill_ zero_ "
        "resize_ set_ rand randn rand_like randn_like randint randperm bernoulli bernoulli_ uniform_ "
        "normal_ topk sort argsort unique_consecutive _unique2 nonzero bincount searchsorted bucketize "
        "one_hot upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d "
        "_upsample_nearest_exact2d _upsample_nearest_exact3d max_unpool2d max_unpool3d view_copy "
        "split_with_sizes_copy _local_scalar_dense item _assert_async is_same_size isnan isinf sym_size "
        "sym_stride sym_numel sym_storage_offset view_as_real view_as_complex real imag as_strided_ "
        "_linalg_check_errors "
    )
)


def _name(operator: Any) -> str:
    library, _, name = str(operator.overloadpacket).partition(".")
    return name if library == "aten" else f"{library}.{name}"


def moves_only(operator: Any) -> bool:
    """Whether an operator only views, copies, places or selects values."""
    if _name(operator) in _MOVES or operator.namespace in ("prim", "prims"):
        return True
    aliases = [value.alias_info for value in operator._schema.returns]
    return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)


def other_flops(operator: Any, arguments: Arguments, result: Any) -> float | None:
    """FLOPs of a call besides multiply-accumulates; ``None`` for an operator without a formula.

    Element-wise operators and biases count 1 per output element, reductions 1 per input element, pooling 1
    per element of each window, interpolation ``2 ** (axes + 1) - 1`` per output element, softmax
    :data:`SOFTMAX`, norms :data:`NORM` or :data:`FOLDED_NORM`, a Fourier transform ``5 n log2(n)`` (half of
    it for real values), sampling at given places as the interpolation of that mode.
    """
    formula = _OTHER.get(_name(operator))
    if formula is not None:
        return float(formula(arguments, result))
    if torch.Tag.pointwise in operator.tags:
        return float(_elements(result))
    return None
