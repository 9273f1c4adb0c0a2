"""Tiny releases of every challenge, and answers that are the references moved a little."""

import functools
from dataclasses import dataclass
from pathlib import Path

import gate_radiographs as radiographs
import gate_writers as made
import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.challenges.brats.editions import EDITIONS
from medbench.core.sample import Boxes, Prediction

CASES = 5

SPLITS = {
    "colonpath": "official_val", "isic2018_task3": "official_test", "myops2020": "all",
    "summe": "canonical", "tvsum": "canonical",
}  # fmt: skip
WRITERS = {
    "acdc": made.acdc, "brain_tumor_mri": made.brain_tumor, "chexpert": radiographs.chexpert,
    "colonpath": made.colonpath, "covidx": radiographs.covidx, "cvc_clinicdb": made.cvc,
    "cvc_clinicdb_boxes": made.cvc, "hc18": made.hc18, "isic2018": made.isic,
    "isic2018_task3": made.isic_task3, "iugc2024": made.iugc, "iugc2025": made.iugc2025,
    "kpis_patch": made.kpis_patch, "kpis_slide": made.kpis_slide, "kvasir_polyp": made.kvasir,
    "mimic_cxr": radiographs.mimic, "myops2020": made.myops, "object_cxr": radiographs.object_cxr,
    "psfhs": made.psfhs, "rsna_pneumonia": radiographs.rsna, "rsna_pneumonia_boxes": radiographs.rsna,
    "rsna_pneumonia_masks": radiographs.rsna, "siim_pneumothorax": radiographs.siim,
    "summe": made.summaries("summe"), "synapse": made.synapse, "tvsum": made.summaries("tvsum"),
    **{name: made.brats(name) for name in EDITIONS},
}  # fmt: skip
RARELY = ({*EDITIONS} - {"brats2023_gli"}) | {"summe", "tvsum"}
"""Editions of BraTS share the code of one; sets of videos have tests of their own and take long."""
CHALLENGES = [
    pytest.param(name, marks=pytest.mark.exhaustive) if name in RARELY else name for name in WRITERS
]


@dataclass(frozen=True)
class Slab:
    """A slide's answer as predictors give it."""

    mask: np.ndarray

    @property
    def shape(self):
        return self.mask.shape

    def strips(self):
        yield self.mask * np.uint8(255)


@dataclass
class Release:
    """A challenge with a folder of its data and one of good predictions.

    Attributes:
        name: of the challenge.
        root: the data.
        predictions: made by writing the answers.
    """

    name: str
    root: Path
    predictions: Path

    @functools.cached_property
    def challenge(self):
        return load_challenge(self.name)

    @functools.cached_property
    def cases(self):
        return self.challenge.cases(self.root, self.split)

    @property
    def split(self):
        return SPLITS.get(self.name, "test")

    def file(self, case, role):
        """The case's file in a role, ``None`` where it has none of its own (but for one other case)."""
        if role == "prediction":
            return self.predictions / self.challenge.exchange.prediction_name(case)
        path = next(iter((case.inputs if role == "input" else case.reference).values()), None)
        alone = role == "input" or path not in case.inputs.values()
        return path if alone and len(self.owners.get(path, ())) in (1, 2) else None

    @functools.cached_property
    def owners(self):
        """File -> ids of the cases that have it."""
        owners = {}
        for case in self.cases:
            for path in {*case.inputs.values(), *case.reference.values()}:
                if path.is_file():
                    owners.setdefault(path, []).append(case.id)
        return owners

    @functools.cached_property
    def answers(self):
        return {case.id: self.answer(case) for case in self.cases}

    def answer(self, case):
        """The reference moved by a pixel, as a predictor gives it."""
        if case.facts.get("task") == "classification":
            positive = np.clip(np.array(case.facts["classes"]) * 0.5 + 0.2, 0, 1)
            return Prediction({"image_classes": np.stack([1 - positive, positive], 1).astype(np.float32)})
        if "landmarks" in self.challenge.card.demands:
            points = self.challenge.release.read_reference(case) + 1
            return Prediction({"landmarks": points[None].astype(np.float32)})
        if "boxes" in self.challenge.card.demands:
            boxes = self.challenge.release.read_reference(case)
            return Prediction({"boxes": [Boxes(boxes.corners + 1, boxes.scores * 0.8, boxes.classes)]})
        if "frame_scores" in self.challenge.card.demands:
            steps = len(self.challenge.release.timeline(case).picks)
            return Prediction({"frame_scores": np.linspace(0, 1, steps)})
        if "image_labels" in self.challenge.card.demands:
            labels = np.array([case.facts["labels"]]) * 0.5 + 0.2
            return Prediction({"image_labels": labels.astype(np.float32)})
        if "class" in case.facts:
            count, own = len(self.challenge.card.image_classes), case.facts["class"]
            probabilities = np.full((1, count), 0.4 / (count - 1), np.float32)
            probabilities[0, own] = 0.6
            return Prediction({"image_classes": probabilities})
        if self.name == "kpis_slide":
            from medbench.io.slides import open_slide

            with open_slide(case.reference["mask"], channels=1) as slide:
                grey = slide.read((0, slide.shape[0]), (0, slide.shape[1]))
            return Prediction({"label_map": Slab(np.roll(grey > 127, 1, 1).astype(np.uint8))})
        reference = self.challenge.release.read_reference(case)
        labels = np.asarray(getattr(reference, "array", reference))
        if self.name == "kpis_patch":
            labels = labels > 127
        values = list(self.challenge.labels)
        moved = np.searchsorted(values, np.roll(labels.astype(int), 1, -1)).astype(np.uint8)
        return Prediction({"label_map": moved if moved.ndim == 3 else moved[None]})

    def predict(self, sample):
        """What a predictor does."""
        return self.answers[sample.case.id]


@functools.cache
def release(name, folder, count=CASES):
    """A release of so many cases, or of as many as the challenge's split has, five at least."""
    root, predictions = folder / f"{name}-{count}" / "data", folder / f"{name}-{count}" / "p"
    root.mkdir(parents=True)
    WRITERS[name](root, count)
    written = Release(name, root, predictions)
    assert len(written.cases) >= CASES
    for case in written.cases:
        written.challenge.write(written.answers[case.id], case, predictions)
    return written
