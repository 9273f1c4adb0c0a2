"""Three landmarks of one image: ``model().load("…/model.pickle").predict(image)`` gives six numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch


class model:
    """A TorchScript network with the way it wants its images."""

    def load(self, path: str = "model.pickle") -> model:
        """Read the network from the file, or from the folder or place beside this program that has it."""
        places = [Path(path), Path(path) / "model.pickle", Path(__file__).with_name("model.pickle")]
        place = next((str(file) for file in places if file.is_file()), str(path))
        extra = {"contract.json": ""}
        self.network = torch.jit.load(place, map_location="cpu", _extra_files=extra).eval()
        self.contract = json.loads(extra["contract.json"])
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network.to(self.device)
        return self

    def save(self, path: str = "model.pickle") -> None:
        """The organisers' interface has it; the network is fixed."""

    def predict(self, X: Any) -> list[float]:
        """x and y of PS1, PS2 and FH1 in pixels of the image.

        Args:
            X: a PIL image.
        """
        image = np.asarray(X.convert("RGB"))
        with torch.inference_mode():
            shares = self.network(torch.from_numpy(self._prepare(image)).to(self.device))
        sides = np.array([image.shape[1], image.shape[0]], np.float32)
        points = shares.float().cpu().numpy()[0] * sides - np.float32(0.5)
        return [float(value) for value in points.reshape(-1)]

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
