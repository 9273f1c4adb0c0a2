"""Predict one frame: ``modelInter().load("…/model.pickle").predict(frame, labelled)``."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch


class modelInter:
    """A TorchScript network with the way it wants its images."""

    def load(self, path: str = "model.pickle") -> modelInter:
        """Read the network beside this file; gives the object itself."""
        extra = {"contract.json": ""}
        self.network = torch.jit.load(str(path), map_location="cpu", _extra_files=extra).eval()
        self.contract = json.loads(extra["contract.json"])
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network.to(self.device)
        return self

    def save(self, path: str = "model.pickle") -> None:
        """The organisers' interface has it; the network is fixed."""

    def predict(self, X: Any, isLabeled: bool = False) -> tuple[Any, Any, bool]:
        """Class scores ``(1, 2)``, labels ``(height, width)`` of labelled frames or ``None``, and a flag.

        Args:
            X: ``(3, height, width)``, RGB, 0 to 255.
            isLabeled: whether the frame has a mask and is segmented.
        """
        frame = np.asarray(X)
        if frame.ndim != 3 or frame.shape[0] != 3 or not frame.size:
            raise ValueError(f"expected a frame (3, height, width), not {frame.shape}")
        if not np.isfinite(frame).all():
            raise ValueError("the frame holds values that are not finite")
        image = np.rint(frame).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        with torch.inference_mode():
            batch = torch.from_numpy(self._prepare(image)).to(self.device)
            logits, image_logits = self.network(batch)
            scores = image_logits.float().softmax(dim=1).cpu().numpy()
            labels = None
            if isLabeled:
                logits = torch.nn.functional.interpolate(
                    logits.float(), size=image.shape[:2], mode="bilinear", align_corners=False
                )
                labels = logits.argmax(dim=1)[0].to(torch.uint8).cpu().numpy().astype(int)
        return scores, labels, bool(scores[0, 1] >= 0.5)

    def _prepare(self, image: Any) -> Any:
        contract = self.contract
        size = contract["size"]
        if size is not None and image.shape[:2] != (size, size):
            import cv2

            shrinks = size < image.shape[0] or size < image.shape[1]
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = cv2.resize(image, (size, size), interpolation=how)
        if contract["channel_order"] == "BGR":
            image = image[..., ::-1]
        intensities = image.astype(np.float32) / np.float32(contract["scale"])
        normal = (intensities - np.array(contract["mean"], np.float32)) / np.array(
            contract["std"], np.float32
        )
        return np.ascontiguousarray(normal.transpose(2, 0, 1)[np.newaxis])


class model(modelInter):
    """The same network under the name of the validation phase."""
