"""The predictor of overlapping patches, whose probabilities are averaged on their slide."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medbench.challenges.exchange import Exchange
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.sample import Prediction, Sample
from medbench.inference.predictor import NetworkPredictor

KEPT = 64
_HALF = 127.5


class StitchingPredictor:
    """A predictor that averages the probability of each pixel over all patches with this pixel.

    As in huuquan1994/wsi_glomerulus_seg@95fdb39 for KPIs 2024 (probabilities summed at stride 1024, then cut
    to patches). A prediction depends on the patch and its overlapping patches alone, not on their order.

    Args:
        network: has two classes, or a single channel of foreground logits.
        exchange: gives positions of patches, and reads them.
        cases: all patches that may overlap.
    """

    def __init__(self, network: NetworkPredictor, exchange: Exchange, cases: Sequence[Case]) -> None:
        assert exchange.patch_position is not None, "cases are no patches of slides"
        self.network = network
        self.position = exchange.patch_position
        self.read = exchange.inputs["image"].read
        self.time_s: dict[str, float] = network.time_s
        self.by_group: dict[str, list[Case]] = defaultdict(list)
        for case in cases:
            self.by_group[case.group].append(case)
        self._kept: OrderedDict[str, npt.NDArray[np.uint8]] = OrderedDict()

    def predict(self, sample: Sample) -> Prediction:
        """The label map of a patch, from probabilities averaged with those of its neighbours."""
        own = self._probability(sample)
        row, column = self.position(sample.case)
        sums = own.astype(np.uint16)
        counts = np.ones(own.shape, np.uint16)
        for other in self.by_group[sample.case.group]:
            if other.id == sample.case.id:
                continue
            other_row, other_column = self.position(other)
            down, across = other_row - row, other_column - column
            if abs(down) >= own.shape[0] or abs(across) >= own.shape[1]:
                continue
            theirs = self._of_neighbour(other)
            if theirs is None or theirs.shape != own.shape:
                continue
            mine, neighbour = _overlap(down, across, own.shape)
            sums[mine] += theirs[neighbour]
            counts[mine] += 1
        return Prediction({"label_map": (sums > counts * _HALF).astype(np.uint8)[np.newaxis]})

    def _of_neighbour(self, case: Case) -> npt.NDArray[np.uint8] | None:
        """Probabilities of another patch; ``None`` where it cannot be read, which its own case reports."""
        if case.id in self._kept:
            return self._kept[case.id]
        try:
            return self._probability(self.read(case))
        except MedbenchError:
            return None

    def _probability(self, sample: Sample) -> npt.NDArray[np.uint8]:
        """Probability of the foreground, 0 to 255, at the size of the patch; the last ones are cached."""
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
    """The overlap of two images of one size, in the first and in the second, at (down, across) from it."""
    height, width = shape
    mine = (slice(max(0, down), height + min(0, down)), slice(max(0, across), width + min(0, across)))
    theirs = (slice(max(0, -down), height - max(0, down)), slice(max(0, -across), width - max(0, across)))
    return mine, theirs
