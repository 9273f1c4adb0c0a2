"""CPU time that a training takes, that of interrupted calls included."""

from __future__ import annotations

import os
import time


def _process_s() -> float:
    """CPU seconds of this process and of the processes that it has waited for."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


class CpuTime:
    """A meter that runs from its making on.

    Attributes:
        first_step_s: what had been taken when the first step ended; 0 before.
    """

    def __init__(self) -> None:
        self.first_step_s = 0.0
        self._earlier_s = 0.0
        self._started_s = _process_s()

    @property
    def taken_s(self) -> float:
        """CPU seconds so far, of this process and those it has waited for."""
        return self._earlier_s + _process_s() - self._started_s

    def end_step(self) -> None:
        """Note the end of a step; only the first one counts."""
        self.first_step_s = self.first_step_s or self.taken_s

    def state(self) -> dict[str, float]:
        """State of an interrupted training, for :meth:`go_on`."""
        return {"cpu_s": self.taken_s, "cpu_s_first_step": self.first_step_s}

    def go_on(self, state: dict[str, float]) -> None:
        """Add what an interrupted call had taken."""
        self._earlier_s = state.get("cpu_s", 0.0)
        self.first_step_s = state.get("cpu_s_first_step", 0.0)

    def facts(self) -> dict[str, float]:
        """The state for ``training.json``, to the hundredth of a second."""
        return {name: round(seconds, 2) for name, seconds in self.state().items()}
