"""Softmax over the largest logits of each row, the selection step of top-k sparse attention.

On the CPU the threshold comes from numpy's vectorised sort, which is several times faster than
``torch.topk`` on short rows; elsewhere, and wherever the computation is traced or compiled, from ``topk``.
Both keep exactly ``count`` entries, also among equal ones.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_SORT_IN_THREADS_FROM = 1 << 20


def softmax_of_largest(logits: Tensor, count: int) -> Tensor:
    """Softmax over exactly the ``count`` largest entries of each row; the others become zero.

    Among equal entries at the edge of the selection the choice is arbitrary. The gradient is that of
    the softmax over the kept entries. ``logits`` may be overwritten.

    Args:
        logits: ``(…, length)``, fresh (nothing else holds it); ``-inf`` entries are never needed to fill up
            ``count``. Half precision is computed in float32.
        count: entries to keep; 0 gives zeros.

    >>> softmax_of_largest(torch.tensor([[1.0, 5.0, 5.0, 0.0]]), 2)
    tensor([[0.0000, 0.5000, 0.5000, 0.0000]])
    """
    if count == 0:
        return torch.zeros_like(logits)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    if count >= logits.shape[-1]:
        return logits.softmax(dim=-1)
    if _is_plain_cpu(logits):
        with torch.no_grad():
            _drop_smallest_(logits.detach(), count)
        return logits.softmax(dim=-1)
    best, index = logits.topk(count, dim=-1, sorted=False)
    return torch.zeros_like(logits).scatter(-1, index, best.softmax(dim=-1))


def add_to_rows(logits: Tensor, rows: Tensor) -> Tensor:
    """``logits + rows``, without a copy where possible; ``logits`` may be overwritten.

    Args:
        logits: ``(n, heads, length * repeats, columns)``, fresh and no view of another tensor.
        rows: ``(n, length, columns)`` constants, each for ``repeats`` rows of every head.
    """
    repeats = logits.shape[2] // rows.shape[1]
    constant = rows[:, None, :, None]
    if not _is_plain_cpu(logits):
        return (logits.unflatten(2, (-1, repeats)) + constant).flatten(2, 3)
    with torch.no_grad():
        logits.detach().unflatten(2, (-1, repeats)).add_(constant)
    return logits


def _is_plain_cpu(tensor: Tensor) -> bool:
    by_symbols = torch.jit.is_tracing() or torch.compiler.is_compiling()
    return tensor.device.type == "cpu" and type(tensor) is Tensor and not by_symbols


def _drop_smallest_(logits: Tensor, count: int) -> None:
    """Shift each row so that its ``count``-th largest entry is 0 and set everything below to ``-inf``."""
    rows = logits.clone(memory_format=torch.contiguous_format)
    _sort_rows(rows.numpy().reshape(-1, logits.shape[-1]))
    edge, below = rows[..., -count], rows[..., -count - 1]
    least_step = torch.finfo(logits.dtype).tiny
    ties = edge - below < least_step
    has_ties = bool(ties.any())
    exact = _largest_alone(logits[ties], count) if has_ties else None
    logits.sub_(edge.unsqueeze(-1))
    torch.threshold_(logits, -least_step, -torch.inf)
    if exact is not None:
        logits[ties] = exact


def _largest_alone(rows: Tensor, count: int) -> Tensor:
    best, index = rows.topk(count, dim=-1)
    return torch.full_like(rows, -torch.inf).scatter_(-1, index, best)


def _sort_rows(rows: npt.NDArray[np.floating]) -> None:
    threads = torch.get_num_threads()
    if threads == 1 or rows.size < _SORT_IN_THREADS_FROM:
        rows.sort(axis=-1)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: part.sort(axis=-1), np.array_split(rows, threads)))
