"""Overlapping patches of one slide, averaged before the labels are taken."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.sample import Prediction, Sample
from medbench.inference.predictor import NetworkPredictor

KEPT = 64
_HALF = 127.5


class StitchingPredictor:
    """Gives every pixel of a patch the mean probability over all patches that show it.

    As huuquan1994/wsi_glomerulus_seg@95fdb39 does for KPIs 2024 (probabilities summed at stride 1024, then
    cut back). A patch's answer depends on the patch and those that overlap it alone, never on the order.

    Args:
        network: has two classes, or a single channel of foreground logits.
        challenge: says where patches lie, and reads them.
        cases: all patches that may overlap.
    """

    def __init__(self, network: NetworkPredictor, challenge: Challenge, cases: Sequence[Case]) -> None:
        self.network = network
        self.challenge = challenge
        self.time_s: dict[str, float] = network.time_s
        self.by_group: dict[str, list[Case]] = defaultdict(list)
        for case in cases:
            self.by_group[case.group].append(case)
        self._kept: OrderedDict[str, npt.NDArray[np.uint8]] = OrderedDict()

    def predict(self, sample: Sample) -> Prediction:
        """The labels of one patch, averaged with its neighbours'."""
        place = self.challenge.place(sample.case)
        own = self._probability(sample)
        if place is None:
            return self.network.predict(sample)
        sums = own.astype(np.uint16)
        counts = np.ones(own.shape, np.uint16)
        for other in self.by_group[sample.case.group]:
            there = self.challenge.place(other)
            if other.id == sample.case.id or there is None:
                continue
            down, across = there[0] - place[0], there[1] - place[1]
            if abs(down) >= own.shape[0] or abs(across) >= own.shape[1]:
                continue
            theirs = self._of_neighbour(other)
            if theirs is None or theirs.shape != own.shape:
                continue
            mine, shifted = _overlap(down, across, own.shape)
            sums[mine] += theirs[shifted]
            counts[mine] += 1
        return Prediction(labels=(sums > counts * _HALF).astype(np.uint8)[np.newaxis])

    def _of_neighbour(self, case: Case) -> npt.NDArray[np.uint8] | None:
        """Another patch's probabilities; nothing where it cannot be read, which its own row reports."""
        if case.id in self._kept:
            return self._kept[case.id]
        try:
            return self._probability(self.challenge.read(case))
        except MedbenchError:
            return None

    def _probability(self, sample: Sample) -> npt.NDArray[np.uint8]:
        """Probability of the foreground in 255ths at the patch's own size, the last ones kept."""
        key = sample.case.id
        if key not in self._kept:
            self._kept[key] = self.network.foreground(sample.images)[0]
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def _overlap(
    down: int, across: int, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where two pictures of one size overlap, in the first and in the one (down, across) from it."""
    height, width = shape
    mine = (slice(max(0, down), height + min(0, down)), slice(max(0, across), width + min(0, across)))
    theirs = (slice(max(0, -down), height - max(0, down)), slice(max(0, -across), width - max(0, across)))
    return mine, theirs
