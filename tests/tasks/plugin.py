"""A plug-in with one tiny challenge and one tiny model for each task, and for a task of its own.

Cases are images of 12 × 16 pixels, or sequences of 10 frames with 4 features; references are JSON.
"""

import dataclasses
import json

import numpy as np
import torch
from torch import nn

import medbench
from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs
from medbench.challenges.release import Release
from medbench.challenges.scorer import Scorer
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.result_table import CaseScores, ratio_column
from medbench.core.sample import Sample, SequenceSample
from medbench.core.score import Score
from medbench.core.task import Task
from medbench.io.eight_bit import read_rgb
from medbench.io.raster import write_image
from medbench.models import ModelEntry

HEIGHT, WIDTH, FRAMES, FEATURES, CASES = 12, 16, 10, 4, 6


def decode_depth(output, geometry):
    """Depth maps (N, height, width) at the images' own size."""
    return nn.functional.interpolate(output, size=geometry.size)[:, 0].cpu().numpy()


medbench.register_task(
    Task("depth_map", "depth maps", "float32 (images, height, width), in mm", decode_depth)
)

NAMES = {
    "label_map": ("background", "bright"),
    "image_classes": ("dark", "bright"),
    "boxes": ("square",),
    "frame_scores": ("importance",),
    "landmarks": ("brightest",),
    "depth_map": ("depth",),
}


def plain(task, answer):
    """An answer as JSON values."""
    if task == "boxes":
        return [[box.corners.tolist(), box.scores.tolist(), box.classes.tolist()] for box in answer]
    return np.asarray(answer).round(4).tolist()


class TinyRelease(Release):
    """Six cases below one folder."""

    splits = ("train", "test")
    data_hint = "Six cases."
    sample_version = "1"
    task = ""

    def cases(self, root, split):
        self.check_split(split)
        paths = sorted((root / split).glob("*.*"))
        if not paths:
            raise self.layout_error(root, ("test/*",))
        reference = {"answer": root / "answers.json"}
        return [Case(path.stem, {"image": path}, reference, path.stem) for path in paths]

    def check(self, root):
        return []

    def write_sample(self, root, options):
        generator = np.random.default_rng(0)
        answers = {}
        for split in self.splits:
            for number in range(CASES):
                name = f"{split}{number}"
                if self.task == "frame_scores":
                    features = generator.normal(size=(FRAMES, FEATURES)).round(3)
                    write_text(root / split / f"{name}.json", json.dumps(features.tolist()))
                    answers[name] = features.mean(axis=1).round(4).tolist()
                    continue
                image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
                row, column = generator.integers(1, 6, 2)
                image[row : row + 4, column : column + 4] = 40 + 30 * number
                (root / split).mkdir(parents=True, exist_ok=True)
                write_image(root / split / f"{name}.png", image)
                bright = (image[..., 0] > 100).astype(int)
                answers[name] = {
                    "label_map": [bright.tolist()],
                    "image_classes": [[1.0 - bright.max(), float(bright.max())]],
                    "boxes": [[[[column, row, column + 4, row + 4]], [1.0], [0]]],
                    "landmarks": [[[float(column + 1.5), float(row + 1.5)]]],
                    "depth_map": [(image[..., 0] / 255).round(4).tolist()],
                }[self.task]
        write_text(root / "answers.json", json.dumps(answers, default=int))


class TinyExchange(Exchange):
    """JSON out."""

    def __init__(self, card, form):
        super().__init__(card)
        read = self.read_sequence if form == "sequence" else self.read_image
        self.inputs = {form: Inputs(read, lambda root, split, cache: [])}

    def read_image(self, case):
        return Sample(case, read_rgb(case.inputs["image"])[np.newaxis], frozenset(self.card.demands))

    def read_sequence(self, case):
        features = np.array(json.loads(case.inputs["image"].read_text()), np.float32)
        return SequenceSample(case, features)

    def prediction_name(self, case):
        return f"{case.id}.json"

    def write(self, prediction, case, folder):
        path = folder / self.prediction_name(case)
        answers = {task: plain(task, prediction[task]) for task in self.card.demands}
        write_text(path, json.dumps(answers))
        return path


class TinyScorer(Scorer):
    """One minus the mean absolute difference, at least 0."""

    def score_file(self, case, path):
        reference = json.loads(case.reference["answer"].read_text())[case.id]
        (task,) = self.card.demands
        try:
            prediction = json.loads(path.read_text())[task]
        except (ValueError, KeyError) as error:
            raise MedbenchError("data.prediction_malformed", f"{path}: is no answer.", "") from error
        if task == "boxes":
            reference, prediction = (
                [box[0][0] if box[0] else [0, 0, 0, 0] for box in boxes] for boxes in (reference, prediction)
            )
        return CaseScores(self.score_arrays(np.array(reference), np.array(prediction)))

    def score_failed(self, case, status, reason):
        return CaseScores({"agreement": Score(0.0, status, reason)})

    def score_arrays(self, reference, prediction, spacing=None):
        if reference.shape != prediction.shape:
            raise MedbenchError("data.size_mismatch", f"{prediction.shape} is not {reference.shape}.", "")
        (task,) = self.card.demands
        scale = WIDTH if task in ("boxes", "landmarks") else 1
        return {"agreement": Score(max(0.0, 1 - float(np.abs(reference - prediction).mean()) / scale))}


class Bright(nn.Module):
    """Answers a task from the first channel, with one weight so that it can be saved."""

    def __init__(self, task):
        super().__init__()
        self.task = task
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images):
        value = images[:, :1] * self.scale
        if self.task == "label_map":
            return torch.cat([100 / 255 - value, value - 100 / 255], dim=1)
        if self.task == "image_classes":
            top = value.flatten(1).amax(1, keepdim=True)
            return 20 * torch.cat([100 / 255 - top, top - 100 / 255], dim=1)
        if self.task == "landmarks":
            return nn.functional.avg_pool2d(value, 3, 1, 1)
        if self.task == "boxes":
            return [self._box(image[0]) for image in value]
        return {self.task: value}

    @staticmethod
    def _box(image):
        rows, columns = torch.nonzero(image > 0, as_tuple=True)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        boxes = torch.stack(box).float()[None]
        return {"boxes": boxes, "scores": torch.ones(1), "labels": torch.ones(1, dtype=torch.long)}


class MeanFeature(nn.Module):
    """Scores a frame by the mean of its features."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, features):
        return features.mean(dim=2) * self.scale


def challenge_of(task):
    form = "sequence" if task == "frame_scores" else "image"
    labels = {0: "background", 1: "bright"} if task == "label_map" else {}
    card = Card(
        name=f"tiny_{task}",
        title=f"Tiny {task.replace('_', ' ')}",
        summary="answers from brightness",
        labels=labels,
        demands_besides={} if labels else {task: NAMES[task]},
        metrics=(ratio_column("agreement", "agreement", "tiny.agreement", headline=True),),
        failure_rule="0",
        citation="none",
        license="CC0-1.0",
        homepage="https://example.org",
    )

    def build():
        release = TinyRelease(card)
        release.task = task
        return Challenge(card, release, TinyExchange(card, form), TinyScorer(card))

    return build


def model_of(task):
    sequence = task == "frame_scores"
    entry = ModelEntry(
        f"tiny/{task}",
        f"Tiny {task}",
        offers={task: "" if task != "label_map" else "num_classes"},
        spatial_dims=1 if sequence else 2,
        in_channels=FEATURES if sequence else 3,
        image_size=FRAMES if sequence else 16,
    )

    @medbench.register_model(entry)
    def build(in_channels, num_classes):
        return MeanFeature() if sequence else Bright(task)

    if task == "boxes":
        medbench.register_model(
            dataclasses.replace(entry, name="tiny/everything", offers={t: "" for t in NAMES})
        )(build)


for name in NAMES:
    medbench.register_challenge(f"tiny_{name}", challenge_of(name))
    model_of(name)
