"""Bright discs in images, as masks; ranked by Dice, with the example's own metric beside it."""

import numpy as np

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs
from medbench.challenges.release import Release
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.result_table import CaseScores, MetricSpec, ratio_column
from medbench.core.sample import Sample, TrainingImage
from medbench.core.score import Score
from medbench.io import eight_bit, raster
from medbench.metrics import score

EXTENT = MetricSpec("extent_error", "extent error", "px", "lower", "example.extent_error", (0.0, None))
CARD = Card(
    name="example_discs",
    title="Example discs",
    summary="segmentation of discs",
    labels={0: "background", 1: "disc"},
    metrics=(ratio_column("dice", "Dice", "dice", headline=True), EXTENT),
    failure_rule="a Dice of 0, and the image's height",
    citation="The example, 2026",
    license="CC0-1.0",
    homepage="https://example.org",
)


class Discs(Release):
    """``train`` and ``test`` with ``NAME.png`` and ``NAME_mask.png``."""

    splits = ("train", "test")
    data_hint = "A folder with train and test."
    sample_version = "1"

    def cases(self, root, split):
        self.check_split(split)
        masks = sorted((root / split).glob("*_mask.png"))
        if not masks:
            raise self.layout_error(root, ("test/*_mask.png",))
        return [self._case(mask) for mask in masks]

    def _case(self, mask):
        name = mask.stem.removesuffix("_mask")
        return Case(name, {"image": mask.with_name(f"{name}.png")}, {"mask": mask}, name)

    def check(self, root):
        return []

    def write_sample(self, root, options):
        rows, columns = np.mgrid[:32, :40]
        for split, count in (("train", 6), ("test", 8)):
            (root / split).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                disc = (rows - 12 - number) ** 2 + (columns - 20) ** 2 < 49
                image = np.repeat(np.where(disc, 200 - number, 40)[..., np.newaxis], 3, axis=-1)
                raster.write_image(root / split / f"{split}{number}.png", image.astype(np.uint8))
                raster.write_label_map(root / split / f"{split}{number}_mask.png", disc.astype(np.uint8))


class Masks(Exchange):
    """Images in, label maps out."""

    def __init__(self, card, release):
        super().__init__(card)
        self.release = release
        self.inputs = {"image": Inputs(self.read_image, self.training_images)}

    def read_image(self, case):
        return Sample(case, eight_bit.read_rgb(case.inputs["image"])[np.newaxis], frozenset({"label_map"}))

    def training_images(self, root, split, cache):
        return [self._training_image(case) for case in self.release.cases(root, split)]

    def _training_image(self, case):
        def load(size):
            image = raster.resize_image(eight_bit.read_rgb(case.inputs["image"]), size, size)
            return image, raster.resize_labels(raster.read_label_map(case.reference["mask"]), size, size)

        return TrainingImage(case.id, case.id, load, labelled=True)

    def prediction_name(self, case):
        return f"{case.id}.png"

    def write(self, prediction, case, folder):
        path = folder / self.prediction_name(case)
        raster.write_label_map(path, prediction["label_map"][0].astype(np.uint8))
        return path


class Overlap(Scorer):
    """Dice and the example's metric."""

    def score_file(self, case, path):
        reference = raster.read_label_map(case.reference["mask"])
        return CaseScores(self.score_arrays(reference, raster.read_label_map(path)))

    def score_arrays(self, reference, prediction, spacing=None):
        if reference.shape != prediction.shape:
            raise MedbenchError("data.size_mismatch", f"{prediction.shape} is not {reference.shape}.", "")
        return {spec.name: score(spec.convention, reference, prediction) for spec in CARD.metrics}

    def score_failed(self, case, status, reason):
        height = raster.read_label_map(case.reference["mask"]).shape[0]
        worst = {"dice": 0.0, "extent_error": float(height)}
        return CaseScores({name: Score(value, status, reason) for name, value in worst.items()})


def example_discs():
    """The challenge."""
    release = Discs(CARD)
    return Challenge(CARD, release, Masks(CARD, release), Overlap(CARD))
