"""Rows and statistics of all processes of a distributed training, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def process_count() -> int:
    """Processes that train together; 1 without a process group."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if together else 1


def process_number() -> int:
    """Number of this process among those that train together, from 0 on."""
    return torch.distributed.get_rank() if process_count() > 1 else 0


def gather_rows(rows: Tensor) -> Tensor:
    """Rows of all processes, in the order of their numbers; gradients flow back to each.

    Every process must have as many rows. Where the further dimensions differ, the smaller are filled with
    zeros at their end.

    Args:
        rows: ``(N, ...)``, numbers or flags.
    """
    if process_count() == 1:
        return rows
    from torch.distributed.nn.functional import all_gather

    if rows.ndim > 1:
        sizes = torch.tensor(rows.shape[1:], device=rows.device)
        largest = sizes.clone()
        torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
        missing = [(0, int(gap)) for gap in (largest - sizes).flip(0)]
        rows = functional.pad(rows, [number for pair in missing for number in pair])
    if rows.dtype == torch.bool:
        parts = [torch.empty_like(rows, dtype=torch.uint8) for _ in range(process_count())]
        torch.distributed.all_gather(parts, rows.to(torch.uint8))
        return torch.cat(parts).bool()
    return torch.cat(all_gather(rows.contiguous()))


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of all processes, on any device.

    torch's own of that kind needs CUDA. Alone, it is a plain :class:`torch.nn.BatchNorm2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalised maps ``(N, channels, height, width)``."""
        if process_count() == 1 or not self.training:
            return super().forward(input)
        from torch.distributed.nn.functional import all_reduce

        values = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        own = torch.stack([values.sum(dim=(0, 2, 3)), values.square().sum(dim=(0, 2, 3))])
        total = all_reduce(own)
        count = values.numel() // values.shape[1] * process_count()
        mean = total[0] / count
        variance = total[1] / count - mean.square()
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            momentum = 0.1 if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
            self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), momentum)
        deviations = values - mean[:, None, None]
        z_scores = deviations * (variance.clamp_min(0) + self.eps).rsqrt()[:, None, None]
        answer: Tensor = z_scores * self.weight[:, None, None] + self.bias[:, None, None]
        return answer.to(input.dtype)

    @classmethod
    def replace_in(cls, network: nn.Module) -> None:
        """Make every batch normalisation of a network a shared one; its weights stay."""
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and not isinstance(module, cls):
                module.__class__ = cls
