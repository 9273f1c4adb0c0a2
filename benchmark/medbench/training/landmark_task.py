"""Lightning module for landmarks: heat maps with a Gaussian at each landmark."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric

from medbench.training.recipes import LandmarkRecipe
from medbench.training.task import NetworkTask


def gaussians(points: Tensor, shape: tuple[int, int], sigma: float) -> Tensor:
    """Heat maps ``(N, landmarks, rows, columns)`` with the value 1 at the place of each landmark.

    Args:
        points: ``(N, landmarks, 2)``, x and y in pixels of the heat map; its first pixel is at 0, 0.
        shape: rows and columns.
        sigma: of the Gaussian, in pixels of the heat map.
    """
    across, down = (torch.arange(count, device=points.device) for count in reversed(shape))
    x = (across - points[..., 0, None]) / sigma
    y = (down - points[..., 1, None]) / sigma
    return torch.exp(-(x[..., None, :].square() + y[..., None].square()) / 2)


def scaled(points: Tensor, shape: torch.Size) -> Tensor:
    """Points ``(N, landmarks, 2)``, shares of the sides, in pixels of maps ``(N, channels, rows, columns)``.

    Sizes enter as plain numbers: a tensor of them would make the step wait for its copy to the device.
    """
    return torch.stack([points[..., 0] * shape[3], points[..., 1] * shape[2]], dim=-1)


class LandmarkTask(NetworkTask):
    """Learns landmarks by the mean squared error of heat maps.

    Args:
        network: returns heat maps in training, points as shares of the sides otherwise.
        recipe: settings of the training.
        num_classes: landmarks.
        total_steps: optimizer steps of the whole training.
    """

    validation_score = "validation_nearness"
    recipe: LandmarkRecipe

    def __init__(
        self, network: nn.Module, recipe: LandmarkRecipe, num_classes: int, total_steps: int
    ) -> None:
        super().__init__(network, recipe, num_classes, total_steps)
        self.nearness = MeanMetric()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean squared error of the heat maps of one batch."""
        images, points = batch
        maps = self.network(images)
        loss = functional.mse_loss(maps, self.targets(points, images.shape, maps.shape))
        self.log("loss", loss)
        return self.shared(loss, len(images))

    def targets(self, points: Tensor, image: torch.Size, maps: torch.Size) -> Tensor:
        """Heat maps to be learnt; ``truncated`` puts the Gaussian at the pixel that holds the landmark."""
        if self.recipe.targets == "exact":
            return gaussians(scaled(points, maps) - 0.5, (maps[2], maps[3]), self.recipe.sigma)
        pixels = scaled(points, image) - 0.5
        x, y = (pixels[..., axis] * maps[3 - axis] / image[3 - axis] for axis in range(2))
        places = torch.stack([x, y], dim=-1).floor()
        return gaussians(places, (maps[2], maps[3]), self.recipe.sigma)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """One minus the mean distance of the landmarks of held-out images, in sides of the image."""
        images, points = batch
        distances = (self.network(images) - points).square().sum(dim=-1).sqrt()
        if self.counts(batch_idx):
            self.nearness.update(1 - distances.mean(dim=-1))
        self.log(self.validation_score, self.nearness, on_step=False, on_epoch=True)
