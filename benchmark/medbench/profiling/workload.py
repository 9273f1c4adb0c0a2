"""Workloads: a network, its input and the way it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.plugins import load_plugin, loaded_plugins
from medbench.core.registry import load_object, unknown_name
from medbench.models.devices import present_device

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

PRECISIONS = ("fp32", "bf16", "fp16")
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "cannot allocate memory", "bad_alloc")


@dataclass(frozen=True, slots=True)
class Workload:
    """A network with its input and settings; nothing depends on the machine.

    Attributes:
        model: model name.
        shape: of one sample, without the batch: ``(channels, height, width)``, ``(frames, features)``, or
            another input of the network.
        num_classes: of the network.
        options: of the network.
        batch: samples per forward pass.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``fp32``, or ``bf16`` and ``fp16`` by autocast.
        channels_last: memory format of weights and input.
        compiled: whether to compile the network by ``torch.compile``.
        threads: of the CPU; 0 leaves torch's own number.
    """

    model: str
    shape: tuple[int, ...]
    num_classes: int
    options: dict[str, Any] = field(default_factory=dict)
    batch: int = 1
    device: str = "cpu"
    precision: str = "fp32"
    channels_last: bool = False
    compiled: bool = False
    threads: int = 0

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)

    def network(self) -> nn.Module:
        """The network with fresh weights on the CPU, in evaluation mode."""
        import torch

        from medbench.models import create_model

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = create_model(self.model, num_classes=self.num_classes, **self._sizes(), **self.options)
        return network.eval()

    def _sizes(self) -> dict[str, Any]:
        """Options that depend on the size of the input; sequences may be longer than the published length."""
        from medbench.models import model_entry

        entry = model_entry(self.model)
        if entry.spatial_dims == 1 and len(self.shape) == 2:
            sizes: dict[str, Any] = {"in_channels": self.shape[1]}
            if "length" in entry.options and "length" not in self.options:
                usual = entry.fixed_options.get("length", entry.options["length"].default)
                sizes["length"] = max(usual, self.shape[0])
            return sizes
        if len(self.shape) > 2:
            return {"in_channels": self.shape[0], "image_size": self.shape[-1]}
        return {}

    def further_inputs(self) -> Callable[[Tensor], tuple[Tensor, ...]] | None:
        """A function that makes the network's other inputs from the first; ``None`` where there are none."""
        from medbench.models import model_entry

        maker = model_entry(self.model).further_inputs
        return load_object(maker) if maker else None

    def placed(self) -> tuple[nn.Module, tuple[Tensor, ...]]:
        """Network and random inputs on the device, in the memory format of the workload.

        Raises:
            MedbenchError: ``device.missing``.
        """
        import torch

        present_device(self.device)
        if self.threads:
            torch.set_num_threads(self.threads)
        images = torch.randn(self.batch, *self.shape, generator=torch.Generator().manual_seed(0))
        network, images = self.network().to(self.device), images.to(self.device)
        if self.channels_last:
            layout = torch.channels_last if images.ndim == 4 else torch.channels_last_3d
            network, images = network.to(memory_format=layout), images.contiguous(memory_format=layout)
        further = self.further_inputs()
        return network, (images, *further(images)) if further else (images,)

    def forward_pass(self) -> Callable[[], Any]:
        """A function that runs one forward pass in evaluation mode, without gradients."""
        import torch

        network, inputs = self.placed()
        run = torch.compile(network) if self.compiled else network

        def predict() -> Any:
            with torch.inference_mode(), self._autocast():
                return run(*inputs)

        return predict

    def training_step(self) -> Callable[[], Any]:
        """A function that runs one training step: forward, mean square of all outputs, backward, AdamW."""
        import torch

        network, inputs = self.placed()
        network.train()
        optimizer = torch.optim.AdamW(network.parameters())
        run = torch.compile(network) if self.compiled else network

        def train() -> None:
            with self._autocast():
                outputs = run(*inputs)
            if isinstance(outputs, dict):
                outputs = list(outputs.values())
            parts = outputs if isinstance(outputs, list | tuple) else [outputs]
            torch.stack([part.float().square().mean() for part in parts]).sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return train

    @contextlib.contextmanager
    def _autocast(self) -> Iterator[None]:
        import torch

        dtypes: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
        dtype = dtypes.get(self.precision)
        with torch.autocast(self.device.partition(":")[0], dtype, enabled=dtype is not None):
            yield

    def as_json(self) -> dict[str, Any]:
        """Plain values for a child process, with the plug-ins to import."""
        return {**asdict(self), "plugins": [str(path.resolve()) for path in loaded_plugins()]}

    @staticmethod
    def from_json(entry: dict[str, Any]) -> Workload:
        """The inverse of :meth:`as_json`; imports the plug-ins."""
        facts = dict(entry)
        for plugin in facts.pop("plugins"):
            load_plugin(Path(plugin))
        return Workload(**{**facts, "shape": tuple(facts["shape"])})


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error or its cause says that memory ran out."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    if isinstance(error, RuntimeError) and any(part in text for part in _OUT_OF_MEMORY):
        return True
    return error.__cause__ is not None and ran_out_of_memory(error.__cause__)
