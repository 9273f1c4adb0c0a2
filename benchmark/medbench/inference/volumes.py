"""The predictor of three-dimensional networks: modalities to a label map.

A case is cropped to the brain, normalised, and predicted in overlapping windows with the positions and
weights of MONAI's ``sliding_window_inference``. The class is taken slab by slab while the windows move along
the longer of the first two axes, so that scores of the whole volume are never in memory at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from medbench.core.finite import refuse_not_finite
from medbench.core.machine import return_freed_memory_of_other_shapes
from medbench.core.sample import Prediction, VolumeSample
from medbench.inference.predictor import TimedPredictor

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Blending = Literal["gaussian", "uniform"]
Box = tuple[slice, ...]
_PLANES_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class PreparedVolume:
    """A case as the input of a network.

    Attributes:
        array: ``(modalities, depth, height, width)`` float32 of the cropped volume, normalised; channels of
            missing modalities are zero.
        present: whether the case has the modality, one flag a channel.
        box: position of the crop in the volume.
        shape: of the whole volume.
    """

    array: npt.NDArray[np.float32]
    present: npt.NDArray[np.bool_]
    box: Box
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VolumeContract:
    """Preparation of volumes for a network.

    Attributes:
        size: side of the cubic window in voxels.
        planes: planes of the window along the first axis; 0 has as many as :attr:`size`.
        centre: side of the centre of the other two axes that the network sees, the rest being background; 0
            shows the bounding box of the brain.
        background: value outside the brain: ``zero`` is 0, ``scaled`` is the z-score of 0.
        blending: of overlapping windows, as :attr:`medbench.models.entry.ModelEntry.blending`.
        modality_mask: whether the network takes the present modalities as a second argument.
    """

    size: int
    background: Literal["zero", "scaled"] = "zero"
    blending: Blending = "gaussian"
    modality_mask: bool = False
    planes: int = 0
    centre: int = 0

    @property
    def window(self) -> tuple[int, int, int]:
        """Sides of the window."""
        return (self.planes or self.size, self.size, self.size)

    def prepare(self, sample: VolumeSample) -> PreparedVolume:
        """The case cropped, every modality with zero mean and unit variance over the brain.

        The brain is where any present modality is not 0; the crop to it is at least as large as the window
        where the volume allows it.
        """
        present = np.array(sample.present, bool)
        brain = np.zeros(sample.volumes.shape[1:], bool)
        for channel in np.flatnonzero(present):
            np.logical_or(brain, sample.volumes[channel] != 0, out=brain)
        box = centred_box(brain.shape, self.centre) if self.centre else widened_box(brain, self.window)
        visible = brain[box]
        array = np.zeros((len(present), *visible.shape), np.float32)
        for channel in np.flatnonzero(present):
            array[channel] = sample.volumes[channel][box]
            values = np.asarray(sample.volumes[channel][brain], np.float32)
            mean, std = values.mean(dtype=np.float64), values.std(dtype=np.float64)
            array[channel] -= np.float32(mean)
            array[channel] /= np.float32(std or 1.0)
            if self.background == "zero":
                array[channel] *= visible
        return PreparedVolume(array, present, box, sample.volumes.shape[1:])


def centred_box(shape: Sequence[int], size: int) -> Box:
    """The centre of all axes but the first, at ``size`` or the whole axis where that is shorter.

    >>> centred_box((4, 300, 200), 256)
    (slice(0, 4, None), slice(22, 278, None), slice(0, 200, None))
    """
    starts = [max(0, side - size) // 2 for side in shape[1:]]
    return (
        slice(0, shape[0]),
        *(slice(start, start + min(size, side)) for start, side in zip(starts, shape[1:], strict=True)),
    )


def widened_box(mask: npt.NDArray[np.bool_], size: int | Sequence[int]) -> Box:
    """The bounding box of a mask, with sides of at least ``size`` where the array allows it.

    The box of an empty mask is the whole array.

    >>> mask = np.zeros((9, 9), bool); mask[7, 2:8] = True
    >>> widened_box(mask, 4)
    (slice(5, 9, None), slice(2, 8, None))
    """
    box = []
    sizes = (size,) * mask.ndim if isinstance(size, int) else size
    for axis, side in enumerate(mask.shape):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        positions = np.flatnonzero(mask.any(axis=others))
        if not positions.size:
            return tuple(slice(0, length) for length in mask.shape)
        low, high = int(positions[0]), int(positions[-1]) + 1
        length = min(max(sizes[axis], high - low), side)
        start = min(max(0, low - (length - (high - low)) // 2), side - length)
        box.append(slice(start, start + length))
    return tuple(box)


def window_starts(side: int, size: int, overlap: float) -> list[int]:
    """First positions of the windows along an axis; the last window ends at the end of the axis.

    >>> window_starts(150, 80, 0.5)
    [0, 40, 70]
    """
    step = size if size == side else max(1, int(size * (1 - overlap)))
    return [min(index * step, side - size) for index in range(math.ceil((side - size) / step) + 1)]


def gaussian_weights(size: Sequence[int]) -> Tensor:
    """Weights of a window's voxels: a Gaussian with an eighth of each side as deviation, at least 0.001.

    >>> weights = gaussian_weights((8, 8, 4))
    >>> tuple(weights.shape), round(float(weights.max()), 3), round(float(weights.min()), 3)
    ((8, 8, 4), 0.472, 0.001)
    """
    import torch

    weights = torch.ones(())
    for side in size:
        place = torch.arange(side) - (side - 1) / 2
        weights = weights[..., None] * torch.exp(-0.5 * (place / (0.125 * side)) ** 2)
    return weights.clamp_min_(max(float(weights.min()), 1e-3))


def slide_windows(
    forward: Callable[[Tensor], Tensor],
    volume: Tensor,
    size: Sequence[int],
    *,
    overlap: float = 0.5,
    blending: Blending = "gaussian",
    batch_size: int = 1,
) -> Tensor:
    """The most likely class of every voxel, by sliding windows.

    The result is the argmax of MONAI's ``sliding_window_inference``, with its windows, padding (zeros on both
    sides of axes shorter than the window) and Gaussian weights.

    Args:
        forward: ``(N, channels, *size)`` to new ``(N, classes, *size)`` logits, which are overwritten; a
            single class is foreground where its logit is 0 or more.
        volume: ``(channels, depth, height, width)``.
        size: sides of the window.
        overlap: share of the window that the next window repeats, from 0 to below 1.
        blending: ``gaussian`` adds weighted logits, ``uniform`` adds probabilities.
        batch_size: windows per call of ``forward``.

    Returns:
        ``(depth, height, width)`` 8-bit class indices on the volume's device.
    """
    import torch
    from torch.nn import functional

    inner = tuple(volume.shape[1:])
    short = [max(0, window - side) for window, side in zip(size, inner, strict=True)]
    if any(short):
        volume = functional.pad(volume, [n for gap in reversed(short) for n in (gap // 2, gap - gap // 2)])
    starts = [window_starts(s, w, overlap) for s, w in zip(volume.shape[1:], size, strict=True)]
    main = max(range(2), key=lambda axis: volume.shape[1 + axis])
    labels = torch.zeros(volume.shape[1:], dtype=torch.uint8, device=volume.device)
    slab = _Slab(
        labels, main, size[main], gaussian_weights(size).to(volume.device) if blending == "gaussian" else None
    )
    for first, after in itertools.pairwise([*starts[main], labels.shape[main]]):
        rows = [axis_starts if axis != main else [first] for axis, axis_starts in enumerate(starts)]
        for corners in _batches(itertools.product(*rows), batch_size):
            boxes = [
                tuple(slice(at, at + window) for at, window in zip(corner, size, strict=True))
                for corner in corners
            ]
            windows = [volume[(slice(None), *box)] for box in boxes]
            slab.add(forward(windows[0][None] if len(windows) == 1 else torch.stack(windows)), boxes)
        slab.finish(first, after - first)
    inside = tuple(slice(gap // 2, gap // 2 + side) for gap, side in zip(short, inner, strict=True))
    return labels[inside]


def _batches(corners: Iterator[Any], count: int) -> Iterator[tuple[Any, ...]]:
    return iter(lambda: tuple(itertools.islice(corners, count)), ())


class _Slab:
    """Scores of the planes within a window's depth; planes that no later window reaches become labels.

    Scores are kept as differences to the first class, which needs the memory of one class less.

    Args:
        labels: array for the classes.
        axis: axis along which the windows move.
        depth: number of planes of a window.
        weights: weights of a window's voxels for logits; ``None`` adds probabilities with equal weights.
    """

    def __init__(self, labels: Tensor, axis: int, depth: int, weights: Tensor | None) -> None:
        self.labels = labels
        self.axis = axis
        self.shape = [depth if at == axis else side for at, side in enumerate(labels.shape)]
        self.weights = weights
        self.single = False
        self.lead: Tensor | None = None

    def add(self, scores: Tensor, boxes: Sequence[Box]) -> None:
        """Add the windows' logits, which are overwritten."""
        import torch

        self.single = scores.shape[1] == 1
        lead = self._lead(scores.float())
        if self.lead is None:
            self.lead = torch.zeros((lead.shape[1], *self.shape), device=lead.device)
        for box, difference in zip(boxes, lead, strict=True):
            inside = tuple(slice(None) if at == self.axis else part for at, part in enumerate(box))
            self.lead[(slice(None), *inside)] += difference

    def _lead(self, scores: Tensor) -> Tensor:
        if self.weights is None:
            scores = scores.sigmoid_().sub_(0.5) if self.single else scores.softmax(dim=1)
        if not self.single:
            scores[:, 1:] -= scores[:, :1]
            scores = scores[:, 1:]
        return scores if self.weights is None else scores.mul_(self.weights)

    def finish(self, first: int, count: int) -> None:
        """Write the classes of the slab's first planes and move the other planes down in place.

        As with ``argmax``, the first of equal scores wins; a comparison class by class is several times
        faster.

        Raises:
            MedbenchError: ``network.not_finite``.
        """
        import torch

        assert self.lead is not None
        for start in range(0, count, _PLANES_AT_ONCE):
            planes = self.lead.narrow(self.axis + 1, start, min(_PLANES_AT_ONCE, count - start))
            refuse_not_finite(planes)
            classes = self.labels.narrow(self.axis, first + start, planes.shape[self.axis + 1])
            best = torch.zeros_like(planes[0])
            for index, scores in enumerate(planes, 1):
                classes.masked_fill_(scores >= best if self.single else scores > best, index)
                torch.maximum(best, scores, out=best)
        depth = self.shape[self.axis]
        for start in range(0, depth, count):
            size = max(0, min(count, depth - start - count))
            if size:
                later = self.lead.narrow(self.axis + 1, start + count, size)
                self.lead.narrow(self.axis + 1, start, size).copy_(later)
            self.lead.narrow(self.axis + 1, start + size, min(count, depth - start) - size).zero_()


class VolumePredictor(TimedPredictor):
    """A predictor that runs a 3-D network in sliding windows.

    Args:
        network: ``(N, modalities, depth, height, width)`` to logits of the same size; with
            :attr:`VolumeContract.modality_mask` it takes a boolean ``(N, modalities)`` as well.
        contract: preparation of volumes.
        device: device of the network.
        batch_size: windows per forward pass.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        overlap: share of a window that the next window repeats, from 0 to below 1.
        mirror: whether to average over the eight mirrored views of every window.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        contract: VolumeContract,
        *,
        device: str = "cpu",
        batch_size: int = 1,
        precision: str = "fp32",
        overlap: float = 0.5,
        mirror: bool = False,
    ) -> None:
        super().__init__(network, device, precision)
        self.contract = contract
        self.batch_size = batch_size
        self.overlap = overlap
        self.flips = [
            axes for count in range(4 if mirror else 1) for axes in itertools.combinations((2, 3, 4), count)
        ]

    def predict(self, sample: VolumeSample) -> Prediction:
        """The label map at the size of the volume; outside the crop to the brain it is background."""
        import torch

        with self.timed("preprocess"):
            inputs = self.contract.prepare(sample)
            volume = torch.from_numpy(inputs.array).to(self.device)
            present = torch.from_numpy(inputs.present).to(self.device)
            return_freed_memory_of_other_shapes(tuple(volume.shape))
        with self.timed("forward"), self.inferring():
            classes = slide_windows(
                lambda windows: self._scores(windows, present),
                volume,
                self.contract.window,
                overlap=self.overlap,
                blending=self.contract.blending,
                batch_size=self.batch_size,
            )
        with self.timed("postprocess"):
            labels = np.zeros(inputs.shape, np.uint8)
            labels[inputs.box] = classes.cpu().numpy()
        return Prediction({"label_map": labels})

    def _scores(self, windows: Tensor, present: Tensor) -> Tensor:
        """Logits of the windows, averaged over mirrored views."""
        extra = (present.expand(len(windows), -1),) if self.contract.modality_mask else ()
        total: Tensor | None = None
        for axes in self.flips:
            output = self.network(windows.flip(axes) if axes else windows, *extra)
            logits = (output[0] if isinstance(output, tuple) else output).float().flip(axes)
            total = logits if total is None else total.add_(logits)
        assert total is not None
        return total / len(self.flips) if len(self.flips) > 1 else total
