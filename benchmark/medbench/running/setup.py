"""Setups: a network with its weights and inference settings, all that predicting needs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.progress import Progress
from medbench.core.sample import AnySample
from medbench.core.slides import SlideSettings
from medbench.inference.build import Patches, PredictorSettings, build_predictor
from medbench.inference.predictor import Predictor
from medbench.inference.weights import load_into
from medbench.models.devices import present_device
from medbench.models.random_state import seeded
from medbench.running.modalities import with_modalities
from medbench.running.networks import NetworkPlan
from medbench.running.request import Inference, RunPlan
from medbench.running.weights import (
    Weights,
    fit_to_weights,
    refuse_other_classes,
    refuse_other_modalities,
)

if TYPE_CHECKING:
    from torch import nn

    from medbench.training.framework import FrameworkPredictor


@dataclass(frozen=True)
class Setup:
    """A planned network with its weights and inference settings.

    The network is built once, at the first prediction.

    Attributes:
        challenge: the challenge whose cases are read and predicted.
        network: the planned network, with the options of its weights.
        weights: the weights, read once.
        inference: settings of the forward pass, modalities by the challenge's own names.
        seed: seed of fresh weights.
    """

    challenge: Challenge
    network: NetworkPlan
    weights: Weights
    inference: Inference
    seed: int = 0

    @classmethod
    def of(cls, plan: RunPlan, weights: Weights) -> Setup:
        """The setup of a checked request with its weights.

        Raises:
            MedbenchError: ``weights.other_model``, ``weights.other_labels`` or ``weights.other_modalities``.
        """
        request = plan.request
        network = fit_to_weights(plan.network, weights)
        if network.framework is None:
            refuse_other_classes(plan.challenge, weights)
            refuse_other_modalities(plan.challenge, weights)
        return cls(plan.challenge, network, weights, request.inference, request.seed)

    def settings(self) -> dict[str, Any]:
        """Inference settings that decide the result."""
        inference, form = self.inference, self.network.form
        device = inference.device.partition(":")[0]
        settings: dict[str, Any] = {"device": device}
        settings |= {"tf32": inference.precision == "tf32"} if device == "cuda" else {}
        if self.network.framework is not None:
            settings |= {"overlap": self._overlap, "mirror": inference.mirror is not False}
        else:
            settings["precision"] = inference.precision
            if form != "sequence":
                settings |= {"batch_size": self._batch_size, "image_size": self._image_size}
            if form == "volume":
                settings |= {"overlap": self._overlap, "mirror": bool(inference.mirror)}
            elif inference.mirror:
                settings |= {"mirror": True}
        if self.slide_settings is not None:
            settings["tiling"] = dataclasses.asdict(self.slide_settings)
        settings |= {"stitch": True} if inference.stitch else {}
        alone = device == "cpu" or form != "image" or inference.stitch or self.network.framework is not None
        settings |= {} if alone or self.network.entry.predictor else {"batches_across_cases": True}
        settings |= {"mark": self.mark} if self.mark else {}
        settings |= (
            {"model_sha256": self.network.entry.source_sha256} if self.network.entry.source_sha256 else {}
        )
        return settings | ({} if inference.modalities is None else {"modalities": list(inference.modalities)})

    @property
    def mark(self) -> str:
        """Reason why the results are never ranked; empty where they are ranked."""
        if self.network.entry.sees_reference:
            return "saw the test labels"
        recipe = self.weights.facts.get("recipe", {})
        return "epoch chosen on the test split" if recipe.get("validation") == "test_split" else ""

    def read(self, case: Case) -> AnySample:
        """The sample of a case: the images or features that the network may see.

        Raises:
            MedbenchError: as the challenge's own reading, or ``data.no_modality``.
        """
        names = self.inference.modalities
        visible = case if names is None else with_modalities(case, names)
        exchange, form = self.challenge.exchange, self.network.form
        readers = exchange.inputs_with_reference if self.network.entry.sees_reference else exchange.inputs
        if form not in readers:
            raise MedbenchError(
                "model.needs_reference",
                f"{self.network.name} is shown the reference of what it predicts, and "
                f"{self.challenge.title} shows none.",
                "Take a form of the model that needs none.",
            )
        sample: AnySample = readers[form].read(visible)
        return sample

    @property
    def slide_settings(self) -> SlideSettings | None:
        """Settings by which slides are predicted; ``None`` where the cases are no slides."""
        own = self.challenge.card.slide_settings
        return None if own is None else dataclasses.replace(own, **self.inference.tiling)

    def predictor(
        self, work: Path | None = None, progress: Progress | None = None, patches: Sequence[Case] = ()
    ) -> Predictor:
        """A predictor of the samples that :meth:`read` returns.

        Args:
            work: folder of unfinished slides, so that a repeated call resumes them.
            progress: display that counts the tiles of a slide.
            patches: all cases that may overlap, for stitching.

        Raises:
            MedbenchError: ``device.missing``, or as :func:`medbench.inference.weights.load_into`.
        """
        present_device(self.inference.device)
        if self.network.framework is not None:
            return self._framework_predictor
        overlapping = Patches(exchange=self.challenge.exchange, cases=patches)
        settings = PredictorSettings(
            form=self.network.form,
            tasks=self.network.returned,
            contract=self.network.input_contract(self._image_size),
            device=self.inference.device,
            precision=self.inference.precision,
            batch_size=self._batch_size,
            overlap=self._overlap,
            mirror=bool(self.inference.mirror),
            slides=self.slide_settings,
            patches=overlapping if self.inference.stitch else None,
            work=work,
            progress=progress,
        )
        return build_predictor(self._module[0], settings, self.network.entry.predictor)

    @property
    def module(self) -> nn.Module:
        """The network with its weights."""
        return self._module[0]

    def count_parameters(self) -> int | None:
        """Number of the network's parameters; ``None`` for a program that does not say."""
        framework = self.network.framework
        network = self._module[0] if framework is None else self._framework_predictor.network
        if hasattr(network, "parameter_count"):
            return network.parameter_count  # type: ignore[return-value]
        return sum(parameter.numel() for parameter in network.parameters())

    def untrained_parts(self) -> list[str]:
        """Names of parameters that the checkpoint did not provide."""
        return self._module[1] if self.network.framework is None else []

    @functools.cached_property
    def _module(self) -> tuple[nn.Module, list[str]]:
        """The network with its weights, and names of parameters that the checkpoint did not provide."""
        with seeded(self.seed):
            network = self.network.build()
        checkpoint = self.weights.checkpoint
        if checkpoint is None:
            return network, []
        return network, load_into(network, self.network.name, checkpoint, str(self.weights.path))

    @functools.cached_property
    def _framework_predictor(self) -> FrameworkPredictor:
        assert self.network.framework is not None
        assert self.weights.checkpoint is not None, "a framework has no network before a plan"
        with seeded(self.seed):
            return self.network.framework.predictor(
                self.weights.checkpoint,
                self.challenge,
                device=self.inference.device,
                overlap=self._overlap,
                mirror=self.inference.mirror is not False,
            )

    @property
    def _overlap(self) -> float:
        return 0.5 if self.inference.overlap is None else self.inference.overlap

    @property
    def _batch_size(self) -> int:
        return self.inference.batch_size or (1 if self.network.sees_volumes else 8)

    @property
    def _image_size(self) -> int:
        own = self.inference.image_size or self.weights.facts.get("image_size")
        size: int = own or self.network.entry.image_size
        return size
