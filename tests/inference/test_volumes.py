"""Volumes through sliding windows: MONAI's windows, slabs, mirrors, crops, missing modalities."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from medbench.core.case import Case
from medbench.core.sample import VolumeSample
from medbench.inference.volumes import (
    VolumeContract,
    VolumePredictor,
    gaussian_weights,
    slide_windows,
    widened_box,
    window_starts,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def convolution(channels=3, classes=4):
    torch.manual_seed(0)
    return torch.nn.Conv3d(channels, classes, 3, padding=1)


@pytest.mark.parametrize("blending", ["gaussian", "uniform"])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(
    ("shape", "size", "overlap"),
    [
        ((40, 33, 29), (16, 16, 16), 0.5),
        ((10, 33, 50), (16, 24, 16), 0.25),
        ((16, 16, 16), (16, 16, 16), 0.5),
        ((15, 60, 20), (16, 16, 16), 0.7),
        ((7, 9, 8), (16, 16, 16), 0.5),
    ],
    ids=str,
)
def test_classes_are_those_of_monai(shape, size, overlap, batch_size, blending):
    from monai.inferers import sliding_window_inference

    network = convolution()
    volume = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))

    def probabilities(windows):
        return network(windows).softmax(dim=1)

    mode, theirs = ("gaussian", network) if blending == "gaussian" else ("constant", probabilities)
    with torch.inference_mode():
        expected = sliding_window_inference(volume[None], size, 2, theirs, overlap=overlap, mode=mode)[0]
        found = slide_windows(
            network, volume, size, overlap=overlap, batch_size=batch_size, blending=blending
        )
    assert found.dtype == torch.uint8
    assert torch.equal(found, expected.argmax(dim=0).to(torch.uint8))
    assert len(found.unique()) == 4


@pytest.mark.parametrize("side", [80, 81, 128, 150])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
def test_windows_cover_an_axis(side, overlap):
    starts = window_starts(side, 80, overlap)
    covered = np.zeros(side, int)
    for start in starts:
        covered[start : start + 80] += 1
    assert covered.all()
    assert starts[0] == 0
    assert starts[-1] == side - 80
    assert starts == sorted(set(starts))


def test_a_constant_network_gives_a_constant_answer():
    def forward(windows):
        return torch.tensor([0.0, 2.0, 1.0]).reshape(1, 3, 1, 1, 1).expand(len(windows), 3, 8, 8, 8).clone()

    for shape in ((8, 8, 8), (9, 20, 13), (3, 30, 8)):
        assert (slide_windows(forward, torch.zeros(1, *shape), (8, 8, 8)) == 1).all()


def test_a_single_class_is_foreground_from_zero_up():
    volume = torch.linspace(-1, 1, 12**3).reshape(1, 12, 12, 12)
    for blending in ("gaussian", "uniform"):
        found = slide_windows(lambda windows: windows.clone(), volume, (8, 8, 8), blending=blending)
        assert torch.equal(found.bool(), volume[0] >= 0)


def sample(volumes, present=None):
    present = present or (True,) * len(volumes)
    names = tuple(f"m{index}" for index in range(len(volumes)))
    return VolumeSample(Case("c", {"m0": Path("c.nii")}), names, np.asarray(volumes), present)


def head(rng, shape=(20, 24, 22), channels=2):
    brain = np.zeros(shape, bool)
    brain[4:15, 6:20, 3:18] = True
    return np.where(brain, rng.integers(50, 900, (channels, *shape)), 0).astype(np.int16), brain


def test_sequences_have_zero_mean_and_unit_variance_over_the_brain():
    volumes, brain = head(np.random.default_rng(0))
    for background in ("zero", "scaled"):
        prepared = VolumeContract(8, background).prepare(sample(volumes))
        assert prepared.box == (slice(4, 15), slice(6, 20), slice(3, 18))
        inside = brain[prepared.box]
        for channel, plain in zip(prepared.array, volumes, strict=True):
            values = plain[brain].astype(float)
            assert channel[inside].mean() == pytest.approx(0, abs=1e-5)
            assert channel[inside].std() == pytest.approx(1, abs=1e-5)
            expected = (plain[prepared.box][inside] - values.mean()) / values.std()
            np.testing.assert_allclose(channel[inside], expected, atol=1e-5)


def test_the_background_is_zero_or_scaled():
    volumes, brain = head(np.random.default_rng(0))
    brain[10, 10, 10] = False
    volumes[:, 10, 10, 10] = 0
    hole = (6, 4, 7)
    assert VolumeContract(8, "zero").prepare(sample(volumes)).array[(0, *hole)] == 0
    values = volumes[0][brain].astype(float)
    scaled = VolumeContract(8, "scaled").prepare(sample(volumes)).array[(0, *hole)]
    assert scaled == pytest.approx(-values.mean() / values.std(), rel=1e-5)


def test_the_box_is_widened_to_the_window():
    mask = np.zeros((30, 40, 10), bool)
    mask[27, 5:9, 2:8] = True
    assert widened_box(mask, 12) == (slice(18, 30), slice(1, 13), slice(0, 10))
    assert widened_box(mask & False, 12) == tuple(slice(0, side) for side in mask.shape)


class Recorder(torch.nn.Module):
    """Answers the class of the largest channel and remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.seen, self.masks = [], []

    def forward(self, windows, present=None):
        self.seen.append(windows.clone())
        self.masks.append(present)
        return windows.clone()


def test_missing_sequences_are_zero_and_marked():
    volumes, _ = head(np.random.default_rng(1), channels=3)
    network = Recorder()
    contract = VolumeContract(8, "scaled", modality_mask=True)
    VolumePredictor(network, contract, batch_size=2).predict(sample(volumes, (True, False, True)))
    for windows, present in zip(network.seen, network.masks, strict=True):
        assert present.dtype == torch.bool
        assert present.tolist() == [[True, False, True]] * len(windows)
        assert not windows[:, 1].any()
        assert windows[:, 0].any()


def test_what_a_missing_sequence_holds_does_not_matter():
    volumes, _ = head(np.random.default_rng(2))
    noisy = volumes.copy()
    noisy[1] = np.random.default_rng(3).integers(0, 999, noisy.shape[1:])
    network = convolution(2)
    predictor = VolumePredictor(network, VolumeContract(8))
    first, second = (predictor.predict(sample(v, (True, False)))["label_map"] for v in (volumes, noisy))
    assert np.array_equal(first, second)
    assert first.any()


def test_labels_have_the_size_of_the_volume_and_stay_in_the_box():
    volumes, brain = head(np.random.default_rng(4))
    predictor = VolumePredictor(Recorder(), VolumeContract(8))
    labels = predictor.predict(sample(volumes))["label_map"]
    assert labels.shape == brain.shape
    assert labels.dtype == np.uint8
    assert np.array_equal(labels[brain], (lambda a: a[1] > a[0])(_scaled(volumes, brain))[brain])
    assert not labels[~brain].any()
    assert set(predictor.time_s) == {"preprocess", "forward", "postprocess"}


def _scaled(volumes, brain):
    return np.stack([(plain - plain[brain].mean()) / plain[brain].std() for plain in volumes])


def test_mirrors_make_the_answer_symmetric():
    volumes = np.zeros((2, 20, 20, 20), np.int16)
    volumes[:, 2:18, 2:18, 2:18] = np.random.default_rng(5).integers(50, 900, (2, 16, 16, 16))
    network = convolution(2)
    plain = VolumePredictor(network, VolumeContract(8))
    mirrored = VolumePredictor(network, VolumeContract(8), mirror=True)
    assert len(mirrored.flips) == 8
    flipped = sample(volumes[:, ::-1, :, ::-1])
    ours, other = (mirrored.predict(s)["label_map"] for s in (sample(volumes), flipped))
    agree = (ours == other[::-1, :, ::-1]).mean()
    assert agree > 0.999
    assert (
        plain.predict(sample(volumes))["label_map"] == plain.predict(flipped)["label_map"][::-1, :, ::-1]
    ).mean() < 0.9


def test_mirrors_average_logits():
    volumes, _ = head(np.random.default_rng(6))
    network = convolution(2)
    predictor = VolumePredictor(network, VolumeContract(8), mirror=True)
    window = torch.from_numpy(_scaled(volumes, np.ones(volumes.shape[1:], bool))).float()[None]
    with torch.inference_mode():
        views = [
            network(window.flip(axes)).flip(axes) if axes else network(window) for axes in predictor.flips
        ]
        expected = torch.stack(views).mean(dim=0)
        torch.testing.assert_close(predictor._scores(window, torch.ones(2, dtype=torch.bool)), expected)


def test_precision_and_windows_together():
    volumes, _ = head(np.random.default_rng(7))
    network = convolution(2)
    exact = VolumePredictor(network, VolumeContract(8)).predict(sample(volumes))["label_map"]
    half = VolumePredictor(network, VolumeContract(8), precision="bf16", batch_size=4, overlap=0.25)
    assert (half.predict(sample(volumes))["label_map"] == exact).mean() > 0.95


def test_scores_of_the_whole_volume_never_exist():
    """Largest tensor that is alive, of a network without memory of its own."""
    shape, size, classes = (24, 160, 32), (24, 32, 32), 16
    largest = []

    def forward(windows):
        return windows[:, :1].expand(-1, classes, -1, -1, -1).clone()

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest.append(result.untyped_storage().nbytes())
            return result

    with Watch(), torch.inference_mode():
        slide_windows(forward, torch.rand(1, *shape), size)
    whole = 4 * classes * int(np.prod(shape))
    window = 4 * classes * int(np.prod((24, 32, 32)))
    slab = window * (classes - 1) // classes
    assert sorted(set(largest))[-2:] == [slab, window]
    assert window * 5 == whole


def test_preparation_needs_little_more_than_its_result():
    volumes, _ = head(np.random.default_rng(8), (64, 64, 64), 4)
    contract = VolumeContract(8)
    tracemalloc.start()
    prepared = contract.prepare(sample(volumes))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < prepared.array.nbytes + 3 * volumes[0].nbytes + prepared.array[0].nbytes * 2


@pytest.mark.parametrize("size", [(16, 24, 8), (32, 32, 32)])
def test_gaussian_weights_are_monais(size):
    from monai.data.utils import compute_importance_map

    expected = compute_importance_map(size, mode="gaussian")
    torch.testing.assert_close(gaussian_weights(size), expected, rtol=1e-6, atol=1e-9)
