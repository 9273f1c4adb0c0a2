"""Whether the counters can be trusted here: networks whose cost is known by hand.

Torch changes which kernels and formulas it uses; a counter that silently lost one would print a tenth of a
transformer. The expected numbers come from the shapes alone, never from a counter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from medbench.core.errors import MedbenchError
from medbench.profiling.latency import summarise

_MEMORY_TOLERANCE = 0.02
_TIME_TOLERANCE = 0.5


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison.

    Attributes:
        name: what was counted, and how.
        expected: by hand.
        found: by our counter.
        tolerance: relative difference that is allowed; operations have none.
    """

    name: str
    expected: float
    found: float
    tolerance: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether they agree."""
        return abs(self.found - self.expected) <= self.tolerance * abs(self.expected)


def self_test() -> list[Check]:
    """Count, allocate and time what is known.

    Raises:
        MedbenchError: ``profile.self_test`` naming every counter that is wrong.
    """
    checks = [*_operations(), _allocation(), _timing()]
    wrong = [check for check in checks if not check.passed]
    if wrong:
        listed = "; ".join(f"{check.name}: {check.found:,.6g}, not {check.expected:,.6g}" for check in wrong)
        raise MedbenchError(
            "profile.self_test",
            f"{len(wrong)} of {len(checks)} counters are wrong here: {listed}.",
            "Trust no figure of 'medbench profile' with this version of torch; please report it.",
        )
    return checks


def _operations() -> Iterator[Check]:
    import torch

    from medbench.profiling.cost import Way, count_cost
    from medbench.profiling.known_networks import known_networks

    ways: tuple[Way, ...] = ("shapes", "values")
    for known in known_networks():
        with torch.random.fork_rng(devices=[]):
            network = known.build()
        for way in ways:
            cost = count_cost(network, known.shape, way=way, activations=False)
            yield Check(f"{known.name}, MACs by {way}", known.macs, cost.macs)
            yield Check(f"{known.name}, uncounted by {way}", 0, sum(cost.uncounted.values()))
            if known.other_flops is not None:
                yield Check(f"{known.name}, other by {way}", known.other_flops, cost.other_flops)


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
