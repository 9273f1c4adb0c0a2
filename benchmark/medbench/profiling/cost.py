"""Operations of a network: multiply-accumulates, other arithmetic, and operators without a formula.

Torch's ``FlopCounterMode`` counts, with the plain ("math") attention kernel and without fast paths, whose
operations it cannot see. The tensors have shapes and a device but no values (torch's fake tensors: meta
tensors that say they are on the CPU, as a network may ask), so nothing is computed or allocated; a network
that needs values is counted while it runs. Operators that torch's table lacks have formulas in
:mod:`medbench.profiling.formulas`; operators without any formula are named in the result.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from medbench.core.guard import describe
from medbench.core.text import first_line
from medbench.profiling.formulas import moves_only, other_flops, product_formulas

KINDS = {
    "convolution": "convolution",
    "_convolution": "convolution",
    "cudnn_convolution": "convolution",
    "deform_conv2d": "convolution",
    "mm": "linear",
    "addmm": "linear",
    "mv": "linear",
    "addmv": "linear",
    "_addmm_activation": "linear",
    "mkldnn_rnn_layer": "linear",
    "_linear_pointwise": "linear",
}
"""Operator -> kind; the others (batched products, attention) are products of activations."""

PRODUCTS = "products of activations"
Way = Literal["shapes", "values"]


@dataclass(frozen=True, slots=True)
class ModuleCost:
    """Cost of one module of a network.

    Attributes:
        name: dotted name from the root, which is the empty string.
        parameters: of the module and all below it.
        macs: of the module and all below it.
        other_flops: of the module and all below it.
    """

    name: str
    parameters: int
    macs: int
    other_flops: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one forward pass in evaluation mode.

    Attributes:
        macs: multiply-accumulates of convolutions and matrix products; biases are other arithmetic.
        other_flops: other arithmetic, by the conventions of :mod:`medbench.profiling.formulas`.
        kinds: multiply-accumulates by kind (convolution, linear, products of activations).
        attention_macs: products of activations within modules that call themselves attention (by class or
            attribute name), or all of them where no module does; projections are in it only where a network
            writes them as batched products.
        uncounted: operator -> calls, for operators without a formula; their arithmetic is in no number here.
        modules: modules of the network, parents before children.
        activation_bytes: memory that a training forward pass keeps for the backward pass, each storage once,
            without parameters, buffers and the input; ``None`` where the network cannot train on this input.
        way: ``shapes``, or ``values`` where the network cannot run on shapes alone.
        counter: name and version of the counter.
        note: why the way is ``values``, or why there are no activations.
    """

    macs: int
    other_flops: int
    kinds: dict[str, int]
    attention_macs: int
    uncounted: dict[str, int]
    modules: tuple[ModuleCost, ...]
    activation_bytes: int | None
    way: Way
    counter: str
    note: str = ""

    @property
    def flops(self) -> int:
        """FLOPs: two per multiply-accumulate, without other arithmetic."""
        return 2 * self.macs


def count_cost(
    network: nn.Module,
    input_shape: Sequence[int],
    *,
    further: Callable[[Tensor], tuple[Tensor, ...]] | None = None,
    way: Way | None = None,
    activations: bool = True,
) -> Cost:
    """Cost of one forward pass over a random input.

    Args:
        network: network of a float32 tensor; its weights and modes stay as they are.
        input_shape: shape of the input, the batch first.
        further: makes the network's other inputs from that tensor.
        way: ``shapes`` or ``values``; the first that works if not given.
        activations: whether to run a training forward pass for ``activation_bytes`` too.
    """
    note = ""
    if way != "values":
        try:
            with _quiet_fake_tensors(), FakeTensorMode():
                inputs = _inputs(torch.empty(*input_shape), further)
                return _count(_without_values(network), inputs, "shapes", activations)
        except Exception as error:
            if way == "shapes":
                raise
            note = f"not by shapes alone: {describe(error)}"
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    images = torch.randn(*input_shape, generator=torch.Generator().manual_seed(0)).to(device)
    return _count(network, _inputs(images, further), "values", activations, note)


@contextlib.contextmanager
def _quiet_fake_tensors() -> Iterator[None]:
    """Keep out of the log what fake tensors report before they raise the error that is noted."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before


def _inputs(images: Tensor, further: Callable[[Tensor], tuple[Tensor, ...]] | None) -> tuple[Tensor, ...]:
    return (images, *further(images)) if further else (images,)


def counter_version() -> str:
    """Name and version of the counter, for records."""
    return f"torch.utils.flop_counter {torch.__version__.partition('+')[0]} with medbench's formulas"


def _without_values(network: nn.Module) -> nn.Module:
    """A copy of the network on fake tensors, made without copying values; needs a fake tensor mode."""
    replacements: dict[int, Any] = {}
    for tensor in (*network.parameters(), *network.buffers()):
        empty = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
        is_parameter = isinstance(tensor, nn.Parameter)
        replacements[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
    return copy.deepcopy(network, replacements)


def _count(
    network: nn.Module, inputs: tuple[Tensor, ...], way: Way, activations: bool, note: str = ""
) -> Cost:
    counter = FlopCounterMode(display=False, custom_mapping=product_formulas())
    census = _Census(counter)
    with _modes(network, training=False), _plain_attention(), torch.no_grad(), census, counter:
        network(*inputs)
    kinds = _kinds(counter.flop_counts["Global"])
    activation_bytes = None
    if activations:
        try:
            activation_bytes = _kept_for_backward(network, inputs)
        except (RuntimeError, ValueError, NotImplementedError) as error:
            note = "; ".join(
                part for part in (note, f"no training on this input: {first_line(error)}") if part
            )
    return Cost(
        macs=_halved(counter.get_total_flops()),
        other_flops=round(census.other["Global"]),
        kinds=dict(kinds),
        attention_macs=_attention(network, counter),
        uncounted=dict(sorted(census.uncounted.items())),
        modules=tuple(_tree(network, counter, census)),
        activation_bytes=activation_bytes,
        way=way,
        counter=counter_version(),
        note=note,
    )


def _kinds(by_operator: Mapping[Any, int]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for operator, flops in by_operator.items():
        kinds[KINDS.get(str(operator).rpartition(".")[2], PRODUCTS)] += _halved(flops)
    return kinds


def _attention(network: nn.Module, counter: FlopCounterMode) -> int:
    keys = _keys(network)
    outermost: list[str] = []
    for name, module in network.named_modules():
        own = name.rpartition(".")[2]
        is_called = keys[name] in counter.flop_counts
        is_attention = "attention" in type(module).__name__.lower() or own in (
            "attn",
            "attention",
            "self_attn",
        )
        if is_called and is_attention and not any(name.startswith(f"{above}.") for above in outermost):
            outermost.append(name)
    places = [keys[name] for name in outermost] or ["Global"]
    return sum(_kinds(counter.flop_counts.get(place, {}))[PRODUCTS] for place in places)


def _keys(network: nn.Module) -> dict[str, str]:
    """Dotted name -> what the counter calls that module."""
    root = type(network).__name__
    return {name: f"{root}.{name}" if name else root for name, _ in network.named_modules()}


def _halved(flops: int) -> int:
    macs, odd = divmod(int(flops), 2)
    assert not odd, "a product's FLOPs are two a multiply-accumulate"
    return macs


class _Census(TorchDispatchMode):
    """A mode below the counter that sums other arithmetic and counts operators without a formula."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()
        self.counter = counter
        self.other: dict[str, float] = defaultdict(float)
        self.uncounted: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if moves_only(func):
            return result
        flops = other_flops(func, args, result)
        if flops is not None:
            for module in set(self.counter.mod_tracker.parents):
                self.other[module] += flops
        elif func.overloadpacket not in self.counter.flop_registry:
            self.uncounted[str(func.overloadpacket)] += 1
        return result


@contextlib.contextmanager
def _modes(network: nn.Module, *, training: bool) -> Iterator[None]:
    before = [(module, module.training) for module in network.modules()]
    network.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Use the plain attention kernel in a block, since operations of fused kernels cannot be seen."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _kept_for_backward(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    own = {
        tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers(), *tensors)
    }
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            storages[storage._cdata] = storage
        return tensor

    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with (
        _modes(network, training=True),
        torch.random.fork_rng(devices=[]),
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        network(*inputs)
    for name, buffer in network.named_buffers():
        buffer.copy_(buffers[name])
    return sum(storage.nbytes() for storage in storages.values())


def _tree(network: nn.Module, counter: FlopCounterMode, census: _Census) -> Iterator[ModuleCost]:
    """Cost of every module; a container that is never called has the sum of its children."""
    keys = _keys(network)

    def figures(name: str, module: nn.Module) -> tuple[int, float]:
        key = keys[name]
        if key in counter.flop_counts or key in census.other:
            return _halved(sum(counter.flop_counts.get(key, {}).values())), census.other.get(key, 0.0)
        macs, other = 0, 0.0
        for child, below in module.named_children():
            part = figures(f"{name}.{child}" if name else child, below)
            macs, other = macs + part[0], other + part[1]
        return macs, other

    for name, module in network.named_modules():
        macs, other = figures(name, module)
        yield ModuleCost(name, sum(p.numel() for p in module.parameters()), macs, round(other))
