"""Scores of frames by FullTransNet, whose network also sees shots and the features given to its decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.finite import refuse_not_finite
from medbench.core.sample import Prediction, SequenceSample
from medbench.inference.predictor import TimedPredictor

if TYPE_CHECKING:
    from torch import Tensor

    from medbench.inference.build import PredictorSettings
    from medbench.models.fulltransnet import FullTransNet


class FullTransNetPredictor(TimedPredictor):
    """Scores by the published decoding.

    The decoder is given every frame, which tells nothing of any annotation; in the published form those of
    the ground-truth summary, as the authors' program does in testing too.

    Args:
        network: FullTransNet.
        settings: device and precision.
    """

    network: FullTransNet

    def __init__(self, network: FullTransNet, settings: PredictorSettings) -> None:
        super().__init__(network, settings.device, settings.precision)

    def predict(self, sample: SequenceSample) -> Prediction:
        """One score a frame.

        Raises:
            MedbenchError: ``model.needs_reference`` in the published form where the challenge shows it none,
                ``model.input`` for more frames than the network's length, ``network.not_finite``.
        """
        import torch

        with self.timed("preprocess"):
            frames = torch.from_numpy(np.ascontiguousarray(sample.features, np.float32))[None].to(self.device)
            decoder_frames = self._decoder_frames(sample).to(self.device)
            everywhere = global_frames(sample.facts).to(self.device)
        with self.timed("forward"), self.inferring():
            scores = self.network.frame_scores(frames, frames[:, decoder_frames], everywhere[None])
        with self.timed("postprocess"):
            refuse_not_finite(scores)
            return Prediction({"frame_scores": scores[0].float().cpu().numpy()})

    def _decoder_frames(self, sample: SequenceSample) -> Tensor:
        import torch

        if not self.network.published:
            return self.network.decoder_frames(len(sample.features))
        if "key_frames" not in sample.facts:
            raise MedbenchError(
                "model.needs_reference",
                f"{sample.case.id}: the published form of FullTransNet is given the ground-truth summary of "
                "the very video, which is not there.",
                "Take the default form, fulltransnet.",
            )
        key_frames = torch.from_numpy(np.flatnonzero(sample.facts["key_frames"]))
        if len(key_frames) == 0:
            raise MedbenchError(
                "model.needs_reference",
                f"{sample.case.id}: its ground-truth summary has no sampled frame.",
                "The published form cannot predict this video; take the default form, fulltransnet.",
            )
        return key_frames


def global_frames(facts: Any) -> Tensor:
    """Sampled frames that everything attends to: first, last and middle one of each shot, ``(G,)``."""
    import torch

    shots: npt.NDArray[np.int64] = np.asarray(facts["change_points"])
    frames = np.concatenate([shots[:, 0], shots[:, 1], shots.sum(axis=1) // 2])
    places = np.searchsorted(facts["picks"], frames, side="right") - 1
    return torch.from_numpy(np.unique(np.clip(places, 0, None)))
