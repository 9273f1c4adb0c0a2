"""Self-test of the counters on networks whose operations are counted by hand.

Kernels and formulas change between versions of torch; a counter that misses one would print a tenth of a
transformer's operations. The expected numbers follow from shapes alone, never from a counter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from medbench.core.errors import MedbenchError
from medbench.core.text import agreeing
from medbench.profiling.latency import summarise

_MEMORY_TOLERANCE = 0.02
_TIME_TOLERANCE = 0.5


@dataclass(frozen=True, slots=True)
class Check:
    """A comparison of a counter with a number counted by hand.

    Attributes:
        name: quantity and way of counting.
        due: number counted by hand.
        count: number of the counter.
        tolerance: largest relative difference that passes; 0 for operations.
    """

    name: str
    due: float
    count: float
    tolerance: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether both numbers agree."""
        return abs(self.count - self.due) <= self.tolerance * abs(self.due)


def self_test() -> list[Check]:
    """Comparisons of all counters with numbers counted by hand.

    Raises:
        MedbenchError: ``profile.self_test`` naming every counter that is wrong.
    """
    checks = [*_operations(), _allocation(), _timing()]
    wrong = [check for check in checks if not check.passed]
    if wrong:
        faults = "; ".join(f"{check.name}: {check.count:,.6g}, not {check.due:,.6g}" for check in wrong)
        are = agreeing(len(wrong), "is", "are")
        raise MedbenchError(
            "profile.self_test",
            f"{len(wrong)} of {len(checks)} counters {are} wrong here: {faults}.",
            "Trust no figure of 'medbench profile' with this version of torch; please report it.",
        )
    return checks


def _operations() -> Iterator[Check]:
    import torch

    from medbench.profiling.cost import Way, count_cost
    from medbench.profiling.reference_networks import reference_networks

    ways: tuple[Way, ...] = ("shapes", "values")
    for reference in reference_networks():
        with torch.random.fork_rng(devices=[]):
            network = reference.build()
        for way in ways:
            cost = count_cost(network, reference.shape, way=way, activations=False)
            yield Check(f"{reference.name}, MACs by {way}", reference.macs, cost.macs)
            yield Check(f"{reference.name}, uncounted by {way}", 0, sum(cost.uncounted.values()))
            if reference.other_flops is not None:
                yield Check(f"{reference.name}, other by {way}", reference.other_flops, cost.other_flops)


def _allocation() -> Check:
    """Three tensors of 8 MiB, of which two are alive at once."""
    import torch

    from medbench.profiling.child import allocation_peak

    size = 1 << 21

    def allocate() -> None:
        first = torch.zeros(size)
        second = first + 1
        del first
        third = second + 1
        del second, third

    return Check("allocation peak", 2 * 4 * size, allocation_peak(allocate), _MEMORY_TOLERANCE)


def _timing() -> Check:
    """A call that sleeps."""
    from medbench.profiling.latency import cpu_sampler

    seconds = 0.02
    times = cpu_sampler(lambda: time.sleep(seconds), 1)()
    return Check("median time [s]", seconds, math.floor(summarise(times)[0] * 1e4) / 1e4, _TIME_TOLERANCE)
