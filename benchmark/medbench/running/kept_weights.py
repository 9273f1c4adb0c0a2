"""What is said of weights that an earlier training left."""

from __future__ import annotations

from pathlib import Path

from medbench.core.progress import Progress
from medbench.core.text import counted


def say_other_threads(folder: Path, progress: Progress) -> None:
    """Say that kept weights were trained on the CPU with another number of threads than this process has.

    Sums are then taken in another order, and no key holds the number: trained anew, the weights would differ.

    Args:
        folder: of a training; nothing is said of one that has not ended, or whose number is not on record.
        progress: told in one line.
    """
    import torch

    from medbench.training.result_files import training_summary

    summary = training_summary(folder) or {}
    threads, on_cpu = summary.get("threads"), (summary.get("hardware") or {}).get("accelerator") == "cpu"
    own_threads = torch.get_num_threads()
    if threads is not None and on_cpu and threads != own_threads:
        progress.say(
            f"The kept weights were trained with {counted(threads, 'thread')}, this process has "
            f"{own_threads}: trained anew they would have other digits (OMP_NUM_THREADS={threads} gives "
            "these)."
        )
