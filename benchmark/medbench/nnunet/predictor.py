"""Prediction by nnU-Net's own predictor: its preprocessing, sliding window, mirroring and resampling."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.finite import refuse_not_finite
from medbench.core.sample import Prediction, Sample, VolumeSample
from medbench.inference.decoding import ImageGeometry, label_maps
from medbench.inference.facts import GREATEST_SIDE
from medbench.inference.predictor import InputContract, TimedPredictor
from medbench.inference.torch_settings import tf32
from medbench.models.nnunet import require_nnunet
from medbench.nnunet.architectures import check_configuration, check_plans
from medbench.nnunet.files import FACTS_KEY
from medbench.nnunet.labels import channel_order, class_table, has_regions

if TYPE_CHECKING:
    import torch
    from torch import nn

    from medbench.inference.weights import Checkpoint

_SOURCE = "nnU-Net's weights"
_IMAGE_SPACING = (999.0, 1.0, 1.0)


def network_of(checkpoint: Checkpoint) -> nn.Module:
    """The network that the plans describe, with fresh weights.

    Raises:
        MedbenchError: ``nnunet.missing``, ``weights.not_nnunet``, ``weights.unsafe`` or ``nnunet.trainer``.
    """
    require_nnunet()
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    facts = facts_of(checkpoint)
    check_plans(facts["plans"], _SOURCE)
    trainer: Any = nnUNetTrainer
    if facts["trainer"] != "nnUNetTrainer":
        try:
            trainer = recursive_find_trainer_class_by_name(facts["trainer"])
        except RuntimeError:
            trainer = None
        if not (isinstance(trainer, type) and issubclass(trainer, nnUNetTrainer)):
            raise MedbenchError(
                "nnunet.trainer",
                f"The weights were made by {facts['trainer']}, which this nnU-Net does not have.",
                "Install the package that brings this trainer.",
            )
    plans = PlansManager(facts["plans"])
    configuration = plans.get_configuration(facts["configuration"])
    check_configuration(configuration.configuration, _SOURCE)
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
        MedbenchError: ``weights.not_nnunet``, or ``weights.facts`` for facts that cannot be true.
    """
    facts = checkpoint.facts.get(FACTS_KEY)
    if not isinstance(facts, dict):
        raise MedbenchError(
            "weights.not_nnunet",
            "These weights come without nnU-Net's plans.",
            "Give a model folder or an exported zip of nnU-Net, or what medbench train -m nnunet left.",
        )
    wrong = next((name for name, is_right in _FACTS.items() if not is_right(facts.get(name))), None)
    if wrong is not None:
        raise MedbenchError(
            "weights.facts",
            f"nnU-Net's facts in these weights give {wrong} as {str(facts.get(wrong))[:80]}.",
            "Use the model folder of nnU-Net, or the file that medbench train left, unchanged.",
        )
    return facts


def _is_list_of(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(is_right, value))


_FACTS: Mapping[str, Callable[[Any], bool]] = {
    "trainer": lambda value: bool(re.fullmatch(r"nnUNet\w{0,80}", str(value))),
    "configuration": lambda value: bool(re.fullmatch(r"\w{1,80}", str(value))),
    "folds": lambda value: _is_list_of(value, lambda fold: bool(re.fullmatch(r"\d{1,3}|all", str(fold)))),
    "mirror_axes": lambda value: _is_list_of(value, lambda axis: axis in (0, 1, 2)),
    "plans": lambda value: isinstance(value, dict),
    "dataset": lambda value: isinstance(value, dict) and isinstance(value.get("labels"), dict),
    "image_size": lambda value: value is None or (isinstance(value, int) and 0 < value <= GREATEST_SIDE),
}


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
        self.regions = self.dataset["regions_class_order"] if has_regions(self.dataset) else ()
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
            for state in reversed(folds):
                self.network.load_state_dict(state)
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

        if len(self.channels) == 1 and (image != image[..., :1]).any():
            raise MedbenchError(
                "nnunet.channels",
                "The image has colours; the network learnt from one grey channel.",
                "Use a model of three channels.",
            )
        with self.timed("preprocess"):
            inputs = self.contract.prepare(image)
        probabilities = self._segment(inputs[0][:, np.newaxis], _IMAGE_SPACING, as_probabilities=True)
        with self.timed("postprocess"):
            scores = torch.from_numpy(np.ascontiguousarray(probabilities[:, 0]))[None]
            geometry = ImageGeometry(image.shape[1:3], inputs.shape[2:], self.contract.resampling)
            labels = self._of_regions(scores, geometry) if self.regions else label_maps(scores, geometry)[0]
        classes: npt.NDArray[np.uint8] = self.table[labels]
        return classes

    def _of_regions(self, scores: torch.Tensor, geometry: ImageGeometry) -> npt.NDArray[np.int64]:
        """Values ``(height, width)`` from probabilities ``(1, regions, h, w)``: the last likely region's.

        nnU-Net writes regions over one another in the order of ``regions_class_order``.
        """
        values = np.zeros(geometry.size, np.int64)
        for region, value in enumerate(self.regions):
            unlikely = label_maps(0.5 - scores[:, region : region + 1], geometry)[0]
            values[unlikely == 0] = value
        return values

    def _segment(
        self, channels: npt.NDArray[Any], spacing: tuple[float, ...], as_probabilities: bool = False
    ) -> npt.NDArray[Any]:
        """The network's labels ``(depth, height, width)``, or probabilities with the classes first.

        Raises:
            MedbenchError: ``network.not_finite``.
        """
        import torch
        from nnunetv2.inference.export_prediction import (
            convert_predicted_logits_to_segmentation_with_correct_shape as to_labels,
        )

        with self.timed("preprocess"):
            inputs = channels[self.channels].astype(np.float32)
            data, _, properties = self.preprocessor.run_case_npy(
                inputs, None, {"spacing": list(spacing)}, self.plans, self.configuration, self.dataset
            )
        with self.timed("forward"), tf32(self.tf32):
            logits = self.inner.predict_logits_from_preprocessed_data(torch.from_numpy(data))
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        with self.timed("postprocess"):
            refuse_not_finite(logits)
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
