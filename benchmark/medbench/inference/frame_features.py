"""Features of frames: 1,024 numbers each from the last pooling of torchvision's GoogLeNet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.models.random_state import seeded

if TYPE_CHECKING:
    from torch import nn

SIDE, CROP = 256, 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RANDOM_SEED = 0


class FrameFeatures:
    """GoogLeNet up to its last pooling, in batches.

    Args:
        weights: a file of torchvision's weights; ``None`` for random ones, which say what frames are alike
            and no more.
        device: where the network runs.
        batch_size: frames a forward pass.

    Raises:
        MedbenchError: as :func:`medbench.inference.weights.load_checkpoint`, or ``weights.mismatch``.
    """

    def __init__(self, weights: Path | None, device: str = "cpu", batch_size: int = 16) -> None:
        import torch

        from medbench.inference.weights import load_checkpoint

        checkpoint = None if weights is None else load_checkpoint(weights)
        self.sha256 = "" if checkpoint is None else checkpoint.sha256
        network = _googlenet(None if checkpoint is None else checkpoint.state, weights).to(device)
        self.network = network.to(memory_format=torch.channels_last)  # twice as fast on a processor
        self.device, self.batch_size = device, batch_size

    def of(self, frames: Iterator[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Features ``(frames, 1024)`` of RGB frames ``(height, width, 3)``, a batch held at a time."""
        parts, waiting = [], []
        for frame in frames:
            waiting.append(prepare_frame(frame))
            if len(waiting) == self.batch_size:
                parts.append(self._forward(waiting))
                waiting = []
        if waiting:
            parts.append(self._forward(waiting))
        return np.concatenate(parts) if parts else np.zeros((0, 1024), np.float32)

    def _forward(self, frames: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            images = torch.from_numpy(np.stack(frames)).to(self.device, memory_format=torch.channels_last)
            output = self.network(images)
        features: npt.NDArray[np.float32] = output.float().cpu().numpy()
        return features


def prepare_frame(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The frame as GoogLeNet wants it: ``(3, 224, 224)``, shorter side 256, centre, ImageNet's scale."""
    import cv2

    height, width = frame.shape[:2]
    scale = SIDE / min(height, width)
    size = (max(SIDE, round(width * scale)), max(SIDE, round(height * scale)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (small.shape[0] - CROP) // 2, (small.shape[1] - CROP) // 2
    centre = small[top : top + CROP, left : left + CROP].astype(np.float32) / 255
    normal = (centre - np.array(_MEAN, np.float32)) / np.array(_STD, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1))


def _googlenet(state: dict[str, Any] | None, source: Path | None) -> nn.Module:
    from torch.nn import Identity
    from torchvision.models import googlenet

    with seeded(RANDOM_SEED):
        network = googlenet(
            weights=None, aux_logits=False, init_weights=False, transform_input=state is not None
        )
    if state is not None:
        own = network.state_dict()
        own_state = {key: value for key, value in state.items() if key in own}
        missing = [key for key in own if key not in own_state or own[key].shape != own_state[key].shape]
        if missing:
            raise MedbenchError(
                "weights.mismatch",
                f"{source}: lacks {counted(len(missing), 'parameter')} of torchvision's GoogLeNet, the first "
                f"is {missing[0]}.",
                "Use torchvision's googlenet-1378be20.pth.",
            )
        network.load_state_dict(own_state)
    network.fc = Identity()
    network.eval()
    return network
