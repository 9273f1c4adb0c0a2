"""Networks and examples for trainings that take seconds."""

import numpy as np
from torch import nn

import medbench
from medbench.core.case import Case
from medbench.core.sample import Boxes, SequenceSample, TrainingBoxes, TrainingSequence, VolumeSample
from medbench.io import raster

SIDE = 32
NAMES = ("one", "two")


class SmallUNet(nn.Module):
    """A network with what goes astray: batch statistics and dropout; image classes beside label maps."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.drop = nn.Dropout(0.2)
        self.segment, self.classify = nn.Conv2d(8, 2, 1), nn.Linear(8, 2)

    def forward(self, images):
        features = self.drop(self.features(images))
        return self.segment(features), self.classify(features.mean(dim=(2, 3)))


class SmallClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.drop, self.classify = nn.Dropout(0.2), nn.Linear(8, 2)

    def forward(self, images):
        return self.classify(self.drop(self.features(images)).mean(dim=(2, 3)))


class SmallVolumeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.drop = nn.Conv3d(2, 4, 3, padding=1), nn.Dropout(0.2)
        self.segment = nn.Conv3d(4, 2, 1)

    def forward(self, volumes):
        return self.segment(self.drop(self.features(volumes).relu()))


class LoadImage:
    """Reads an image; an object, so that reading processes can be started with it."""

    def __init__(self, number):
        self.number = number

    def __call__(self, size):
        pixels = np.random.default_rng(self.number).integers(0, 255, (size, size, 3)).astype(np.uint8)
        return pixels, pixels[..., 0] // 128 if self.number % 3 else None


def load_volume(number):
    array = np.random.default_rng(number).random((2, SIDE, SIDE, SIDE)) + 1
    sample = VolumeSample(Case(f"c{number}", {}, {}, f"p{number}"), NAMES, array, (True, True))
    return sample, (array[0] > 1.9).astype(np.uint8)


def dmaf():
    return medbench.create_model("dmaf_net.test", in_channels=2, num_classes=2, channels=[4, 4, 4, 4, 8])


def sequence(number):
    features = np.random.default_rng(number).random((24, 1024)).astype(np.float32)
    facts = {"picks": np.arange(24) * 15, "change_points": np.array([[0, 359]]), "n_frames": 360}
    sample = SequenceSample(Case(f"v{number}", {}), features, facts=facts)
    targets = {"key_frames": np.isin(np.arange(24), (3, 4, 11))}
    return TrainingSequence(f"v{number}", f"v{number}", lambda: (sample, targets), ())


def boxed(number, classes=(0,), shape=(60, 90)):
    """An image with one bright rectangle for each class."""
    rng = np.random.default_rng(number)
    image = np.zeros((*shape, 3), np.uint8)
    corners = []
    for _ in classes:
        left, top = rng.integers(5, 50), rng.integers(5, 30)
        image[top : top + 20, left : left + 25] = 255
        corners.append([left, top, left + 25, top + 20])
    boxes = Boxes.of_reference(corners, classes)
    return TrainingBoxes(
        f"i{number}",
        f"g{number // 2}",
        lambda size: raster.resize_image(image, *raster.fitted_size(shape, size)),
        lambda: boxes.resized(shape, (1, 1)),
        tuple(classes),
    )
