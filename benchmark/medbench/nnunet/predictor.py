"""Prediction by nnU-Net's own predictor: its preprocessing, sliding window, mirroring and resampling."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.sample import Prediction, Sample, VolumeSample
from medbench.inference.decoding import ImageGeometry, label_maps
from medbench.inference.predictor import InputContract, TimedPredictor
from medbench.models.nnunet import require_nnunet
from medbench.nnunet.files import FACTS_KEY
from medbench.nnunet.labels import channel_order, class_table

if TYPE_CHECKING:
    from torch import nn

    from medbench.inference.weights import Checkpoint

_IMAGE_SPACING = (999.0, 1.0, 1.0)


def network_of(checkpoint: Checkpoint) -> nn.Module:
    """The network that the plans describe, with fresh weights.

    Raises:
        MedbenchError: ``nnunet.missing``, ``weights.not_nnunet`` or ``nnunet.trainer``.
    """
    require_nnunet()
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    facts = facts_of(checkpoint)
    trainer: Any = nnUNetTrainer
    if facts["trainer"] != "nnUNetTrainer":
        try:
            trainer = recursive_find_trainer_class_by_name(facts["trainer"])
        except RuntimeError as error:
            raise MedbenchError(
                "nnunet.trainer",
                f"The weights were made by {facts['trainer']}, which this nnU-Net does not have.",
                "Install the package that brings this trainer.",
            ) from error
    plans = PlansManager(facts["plans"])
    configuration = plans.get_configuration(facts["configuration"])
    network: nn.Module = trainer.build_network_architecture(
        plans,
        configuration,
        determine_num_input_channels(plans, configuration, facts["dataset"]),
        plans.get_label_manager(facts["dataset"]).num_segmentation_heads,
        enable_deep_supervision=False,
    )
    return network


def facts_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Facts in the checkpoint on plans, data set and folds.

    Raises:
        MedbenchError: ``weights.not_nnunet``.
    """
    facts = checkpoint.facts.get(FACTS_KEY)
    if not isinstance(facts, dict):
        raise MedbenchError(
            "weights.not_nnunet",
            "These weights come without nnU-Net's plans.",
            "Give a model folder or an exported zip of nnU-Net, or what medbench train -m nnunet left.",
        )
    return facts


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Discard what nnU-Net prints in a block, and restore cuDNN's benchmark setting after it."""
    import torch

    before = torch.backends.cudnn.benchmark
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        torch.backends.cudnn.benchmark = before


class NnunetPredictor(TimedPredictor):
    """A predictor that runs nnU-Net and averages the logits of its folds.

    Args:
        checkpoint: weights with plans.
        challenge: whose samples are predicted.
        device: device of the network.
        overlap: share of a window that neighbours overlap, from 0 to below 1; nnU-Net's default is 0.5.
        mirror: whether to average over mirrored inputs, along the axes that training mirrored.
    """

    def __init__(
        self, checkpoint: Checkpoint, challenge: Challenge, *, device: str, overlap: float, mirror: bool
    ) -> None:
        facts = facts_of(checkpoint)
        source = f"nnU-Net's model of {facts['dataset'].get('name') or facts['plans']['dataset_name']}"
        self.table = class_table(facts["dataset"], challenge, source)
        self.channels = channel_order(facts["dataset"], challenge, source)
        super().__init__(network_of(checkpoint), device, "fp32")
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        self.plans = PlansManager(facts["plans"])
        self.configuration = self.plans.get_configuration(facts["configuration"])
        self.dataset = facts["dataset"]
        self.contract = InputContract(
            size=facts["image_size"], scale=1.0, resampling=challenge.card.resampling
        )
        folds = [
            {
                key.removeprefix(f"fold_{fold}."): tensor
                for key, tensor in checkpoint.state.items()
                if key.startswith(f"fold_{fold}.")
            }
            for fold in facts["folds"]
        ]
        with _quietly():
            self.inner = nnUNetPredictor(
                tile_step_size=1 - overlap,
                use_gaussian=True,
                use_mirroring=mirror,
                perform_everything_on_device=self.device.type == "cuda",
                device=self.device,
                allow_tqdm=False,
            )
            self.inner.manual_initialization(
                self.network,
                self.plans,
                self.configuration,
                folds,
                self.dataset,
                facts["trainer"],
                tuple(facts["mirror_axes"]) or None,
            )
        try:
            self.network.load_state_dict(folds[0])
        except RuntimeError as error:
            raise MedbenchError(
                "weights.mismatch",
                f"{source}: the weights do not fit the network of its plans.",
                "Copy the whole model folder again.",
            ) from error
        self.preprocessor = self.configuration.preprocessor_class(verbose=False)

    def predict(self, sample: Sample | VolumeSample) -> Prediction:
        """Label maps at the sample's own size, in the challenge's class indices."""
        if isinstance(sample, VolumeSample):
            spacing = sample.spacing_mm or (1.0, 1.0, 1.0)
            return Prediction({"label_map": self.table[self._segment(sample.volumes, spacing)]})
        return Prediction(
            {"label_map": np.stack([self._label_map(image[np.newaxis]) for image in sample.images])}
        )

    def _label_map(self, image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Classes ``(height, width)`` of ``(1, height, width, channels)``."""
        import torch

        with self.timed("preprocess"):
            prepared = self.contract.prepare(image)
        probabilities = self._segment(prepared[0][:, np.newaxis], _IMAGE_SPACING, as_probabilities=True)
        with self.timed("postprocess"):
            scores = torch.from_numpy(np.ascontiguousarray(probabilities[:, 0]))[None]
            geometry = ImageGeometry(image.shape[1:3], prepared.shape[2:], self.contract.resampling)
            labels = label_maps(scores, geometry)[0]
        classes: npt.NDArray[np.uint8] = self.table[labels]
        return classes

    def _segment(
        self, channels: npt.NDArray[Any], spacing: tuple[float, ...], as_probabilities: bool = False
    ) -> npt.NDArray[Any]:
        """The network's labels ``(depth, height, width)``, or probabilities with the classes first."""
        import torch
        from nnunetv2.inference.export_prediction import (
            convert_predicted_logits_to_segmentation_with_correct_shape as to_labels,
        )

        with self.timed("preprocess"):
            ordered = channels[self.channels].astype(np.float32)
            data, _, properties = self.preprocessor.run_case_npy(
                ordered, None, {"spacing": list(spacing)}, self.plans, self.configuration, self.dataset
            )
        with self.timed("forward"):
            logits = self.inner.predict_logits_from_preprocessed_data(torch.from_numpy(data))
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        with self.timed("postprocess"):
            answer = to_labels(
                logits,
                self.plans,
                self.configuration,
                self.inner.label_manager,
                properties,
                return_probabilities=as_probabilities,
                num_threads_torch=torch.get_num_threads(),
            )
        result: npt.NDArray[Any] = answer[1] if as_probabilities else answer
        return result
