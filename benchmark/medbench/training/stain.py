"""Augmentation of stained tissue sections by the variation between laboratories and scanners.

The two stains are varied apart in optical density, as in Tellez et al. 2019, Medical Image Analysis 58:101544
(section 3.2, "HED-light" and "HED-strong"), with the colour vectors of haematoxylin and periodic acid-Schiff.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode, v2

# Optical density of red, green and blue: haematoxylin as in Ruifrok and Johnston 2001, Analytical and
# Quantitative Cytology and Histology 23:291 (table 1); Schiff's magenta absorbs green.
HAEMATOXYLIN = (0.650, 0.704, 0.286)
SCHIFF = (0.175, 0.972, 0.154)


def stain_vectors() -> Tensor:
    """``(3, 3)`` unit rows: haematoxylin, Schiff, and what is at right angles to both."""
    first, second = torch.tensor(HAEMATOXYLIN), torch.tensor(SCHIFF)
    rows = torch.stack([first, second, torch.linalg.cross(first, second)])
    return rows / rows.norm(dim=1, keepdim=True)


class StainJitter(v2.Transform):
    """A transform that scales and shifts the concentration of each stain by random amounts.

    Pixels that are nearly black (outside the tissue of a masked slide) keep their colour.

    Args:
        sigma: concentrations are multiplied by 1 − ``sigma`` to 1 + ``sigma``.
        shift: largest shift of a concentration, in units of optical density.
    """

    def __init__(self, sigma: float = 0.2, shift: float = 0.03) -> None:
        super().__init__()
        self.sigma = sigma
        self.shift = shift

    def make_params(self, flat_inputs: list[object]) -> dict[str, Tensor]:
        """Factor and shift of each of the three concentrations."""
        return {
            "factor": 1 + self.sigma * (2 * torch.rand(3) - 1),
            "offset": self.shift * (2 * torch.rand(3) - 1),
        }

    def transform(self, inpt: object, params: dict[str, Tensor]) -> object:
        """Images ``(3, height, width)``, 8 bit or 0 to 1, with varied stains; other inputs as they are."""
        from torchvision import tv_tensors

        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        eight_bit = inpt.dtype == torch.uint8
        colours = inpt.float() / 255 if eight_bit else inpt.float()
        density = -torch.log(colours.clamp(min=1 / 255)).flatten(1)
        vectors = stain_vectors()
        change = torch.diag(params["factor"] - 1)
        mixing = vectors.T @ change @ torch.linalg.inv(vectors.T)
        new_density = density + mixing @ density + (vectors.T @ params["offset"])[:, None]
        colours_out = torch.exp(-new_density.clamp(min=0)).reshape(colours.shape)
        colours_out = torch.where(colours.amax(dim=0, keepdim=True) > 8 / 255, colours_out, colours)
        result = (colours_out * 255).round().clamp(0, 255).to(torch.uint8) if eight_bit else colours_out
        return tv_tensors.wrap(result, like=inpt)


def stain_augmentation() -> nn.Module:
    """Augmentation ``stain``: flips, turns, scale, both stains, and a little brightness and contrast."""
    quarter_turns = [v2.RandomRotation((angle, angle)) for angle in (90, 180, 270)]
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            v2.RandomChoice([v2.Identity(), *quarter_turns]),
            v2.RandomApply(
                [v2.RandomAffine(0, scale=(0.85, 1.15), interpolation=InterpolationMode.BILINEAR)], 0.5
            ),
            v2.RandomApply([StainJitter()], 0.8),
            v2.RandomApply([v2.ColorJitter(brightness=0.15, contrast=0.15)], 0.5),
        ]
    )
