"""How the batch of an optimizer step is divided among processes and passes."""

from __future__ import annotations

from dataclasses import dataclass

from medbench.core.errors import MedbenchError
from medbench.core.text import counted


@dataclass(frozen=True, slots=True)
class Division:
    """Processes and passes that share the batch of an optimizer step.

    Attributes:
        processes: devices of all machines.
        process: which of them this one is.
        passes: forward and backward passes whose gradients every process adds up.
    """

    processes: int = 1
    process: int = 0
    passes: int = 1

    @property
    def parts(self) -> int:
        """Parts that a step's batch is dealt out to."""
        return self.processes * self.passes

    def check(self, step_size: int) -> None:
        """Refuse a batch with fewer examples than it is divided into.

        Raises:
            MedbenchError: ``training.devices``.
        """
        if step_size < self.parts:
            passes = "" if self.passes == 1 else f" with {self.passes} passes each"
            fewer = "--devices" if self.passes == 1 else "--devices or --accumulate"
            raise MedbenchError(
                "training.devices",
                f"A batch of {step_size} cannot be shared by {counted(self.processes, 'device')}{passes}.",
                f"Lower {fewer}, or take a larger batch: --recipe-set batch_size={self.parts}.",
            )

    def weight(self, examples: int, step_size: int) -> float:
        """Factor of a mean loss over some of a step's examples.

        The trainer takes the mean over processes and passes; with this factor it is the mean over the step's
        examples also where they are dealt out unevenly.

        >>> Division(processes=2).weight(3, 5), Division(processes=2).weight(2, 5)
        (1.2, 0.8)
        """
        return examples * self.parts / step_size
