"""nnU-Net and the pre-training of CM-CGNS, which train by programs of their own, for ``speed/gpu.py``."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import medbench
from gpu_families import STEPS, TINY_STEPS, Family, LoadImage, Plan, StepClock, per_second
from medbench.challenges import load_challenge
from medbench.challenges.psfhs.files import RUNS
from medbench.challenges.psfhs.sample import write_sample
from medbench.core.case import Case
from medbench.core.sample import Sample, TrainingPair
from medbench.inference.predictor import Predictor
from medbench.inference.torch_settings import tf32
from medbench.inference.weights import load_checkpoint
from medbench.models.cm_cgns.pretraining_network import Pairs
from medbench.nnunet.recipe import NnunetRecipe
from medbench.nnunet.training import NNUNET
from medbench.training.framework import TrainingOrder
from medbench.training.hardware import Hardware
from medbench.training.pair_data import PairImages, collate
from medbench.training.pretraining_fit import PairLearner, fit_pairs
from medbench.training.pretraining_recipe import load_pretraining_recipe
from medbench.training.report_tokens import ReportTokens

FRAMES = 12
EPOCHS = 4
PAIRS_A_STEP = 64
SENTENCES, WORDS = 6, 12
TINY_VOCABULARY = 64
COMPILES = "nnUNet_compile"


class NnunetFamily(Family):
    """nnU-Net, which plans, trains and predicts by itself, on drawn frames of psfhs.

    Its steps are those of four epochs; a validation batch and the state that is saved after each are part of
    their time. The network is not compiled, which would take longer than all steps.
    """

    in_this_process = False

    def _recipe(self) -> NnunetRecipe:
        changes: dict[str, Any] = {"epochs": EPOCHS, "steps": self.steps // EPOCHS, "validation_steps": 1}
        if self.plan.tiny:
            changes |= {"image_size": 32, "base_features": 4}
        return NNUNET.recipe("nnunet", "quick" if self.plan.tiny else "default", changes)

    def train(self, folder: Path, progress: StepClock) -> None:
        """Train :attr:`steps` steps in nnU-Net's own process."""
        root = folder.parent / "psfhs"
        write_sample(root, np.linspace(1, RUNS["train"].stop - 1, FRAMES).astype(int).tolist())
        os.environ[COMPILES] = "f"
        order = TrainingOrder(
            load_challenge("psfhs"),
            root,
            "train",
            {},
            self.recipe,
            folder,
            folder / "frames",
            {"hardware": {}},
        )
        weights = NNUNET.train(order, Hardware(self.plan.device, 1), progress)
        self.checkpoint = load_checkpoint(weights)
        self.batch = self.checkpoint.facts["hardware"]["effective_batch"]

    def predict(self) -> float | None:
        """Predicted frames a second, mirrored as nnU-Net does."""
        predictor: Predictor = NNUNET.predictor(
            self.checkpoint, load_challenge("psfhs"), device=self.plan.device, overlap=0.5, mirror=True
        )
        sample = Sample(Case("i0", {}), LoadImage(0)(256)[0][None])
        return per_second(lambda: predictor.predict(sample), 1, 2 if self.plan.tiny else 8)


class PairFamily:
    """The pre-training of CM-CGNS on random images with random reports, half of the steps in each stage."""

    in_this_process = True

    def __init__(self, model: str, plan: Plan) -> None:
        self.model, self.plan = model, plan
        self.steps = 2 * TINY_STEPS if plan.tiny else STEPS
        name, batch = ("test", 2) if plan.tiny else ("default", PAIRS_A_STEP)
        changes = {"epochs": 1, "second_epochs": 1, "batch_size": batch}
        self.recipe = load_pretraining_recipe(name, changes)
        self.batch = batch
        self.options: dict[str, Any] = {**self.recipe.network, "image_size": self.recipe.image_size}
        if plan.tiny:
            self.options["vocabulary_size"] = TINY_VOCABULARY
        self.dataset = self._pairs(batch * self.steps // 2)

    def _pairs(self, count: int) -> PairImages:
        rng = np.random.default_rng(0)
        words = SENTENCES * WORDS
        numbers = [-1, *np.repeat(np.arange(1, SENTENCES + 1), WORDS).tolist(), -1]
        numbers = numbers[: self.recipe.max_tokens]
        most = self.options.get("vocabulary_size", 28996)
        pairs = [TrainingPair(f"p{n}", f"g{n}", LoadGrey(n % 16), ()) for n in range(count)]
        tokens = [
            ReportTokens(rng.integers(5, most, words + 2).tolist()[: len(numbers)], numbers) for _ in pairs
        ]
        return PairImages(pairs, tokens, self.recipe, padding=0)

    def build(self) -> Any:
        """The network with fresh weights."""
        return medbench.create_model(self.model, **self.options)

    def train(self, folder: Path, progress: StepClock) -> None:
        """Train half of :attr:`steps` in each stage."""
        hardware = Hardware(self.plan.device, 1, 1, self.plan.precision)
        every: Sequence[int] = range(len(self.dataset))
        learner = PairLearner(self.build, self.dataset, every, (), lambda trained, fresh: {})
        fit_pairs(learner, self.recipe, folder, {}, hardware=hardware, progress=progress)

    def predict(self) -> float | None:
        """Pairs a second whose image and report are embedded."""
        network, pairs = self._placed(self.batch)
        return per_second(lambda: _embedded(network, pairs), self.batch, 2 if self.plan.tiny else 8)

    def forward(self) -> tuple[float | None, str]:
        """Median seconds in which one pair is embedded."""
        network, pairs = self._placed(1)
        times = []
        for _ in range(5 if self.plan.tiny else 30):
            started = time.perf_counter()
            _embedded(network, pairs)
            times.append(time.perf_counter() - started)
        return float(np.median(times[2:])), ""

    def _placed(self, count: int) -> tuple[Any, Pairs]:
        torch.manual_seed(0)
        pairs = collate(self.dataset, range(count))
        network = self.build().eval().to(self.plan.device)
        return network, Pairs(*(part.to(self.plan.device) for part in pairs))

    def difference(self) -> float:
        """Largest difference of embedded pairs between the device and the CPU, relative."""
        network, pairs = self._placed(2)
        with tf32(False):
            answer = _embedded(network, pairs)
            expected = _embedded(network.cpu(), Pairs(*(part.cpu() for part in pairs)))
        return float((answer - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


class LoadGrey(LoadImage):
    """Random grey pixels with a disc."""

    def __call__(self, size: int) -> np.ndarray:  # type: ignore[override]
        """An image ``(size, size)``."""
        return LoadImage.__call__(self, size)[0][..., 0].copy()


def _embedded(network: Any, pairs: Pairs) -> torch.Tensor:
    """Vectors of images and reports in single precision, on the CPU."""
    with torch.inference_mode():
        vectors = network.encode_images(pairs.images)[0], network.encode_reports(pairs)
        return torch.cat(vectors).float().cpu()
