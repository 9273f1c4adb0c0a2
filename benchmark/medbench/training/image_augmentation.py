"""Random changes of images and their label maps, by the names that recipes use."""

from __future__ import annotations

import torch

REACH = 0.3
"""Share of a side that a square, scaled by 0.9 and turned by 45 degrees, shows beyond its edge: 0.286."""


class _BlackSquares(torch.nn.Module):
    """Eight black squares of 8 × 8 pixels anywhere in an image; its labels stay as they are."""

    def forward(self, image: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        image = image.clone()
        height, width = image.shape[-2:]
        for _ in range(8):
            top = int(torch.randint(max(1, height - 7), ()))
            left = int(torch.randint(max(1, width - 7), ()))
            image[..., top : top + 8, left : left + 8] = 0
        return image, labels


class _ReflectedAffine(torch.nn.Module):
    """Rotation by up to 45 degrees and scaling by 0.9 to 1.1, reflections beyond the edges."""

    def forward(self, image: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        from torchvision.transforms import InterpolationMode, v2

        sides = image.shape[-2:]
        reach = [min(side - 1, round(REACH * side)) for side in reversed(sides)]
        affine = v2.RandomAffine(45, scale=(0.9, 1.1), interpolation=InterpolationMode.BILINEAR)
        pair: tuple[torch.Tensor, torch.Tensor] = v2.Compose(
            [v2.Pad(reach, padding_mode="reflect"), affine, v2.CenterCrop(sides)]
        )(image, labels)
        return pair


def augmentation(name: str) -> torch.nn.Module | None:
    """The augmentation of that name, of an image and its labels; ``None`` for none."""
    if name == "none":
        return None
    from torchvision.transforms import InterpolationMode, v2

    if name == "affine_gain":
        affine = v2.RandomAffine(
            15, translate=(0.12, 0.08), scale=(0.85, 1.15), interpolation=InterpolationMode.BILINEAR
        )
        return v2.Compose([affine, v2.ColorJitter(brightness=0.4, contrast=0.4)])
    if name == "stain":
        from medbench.training.stain import stain_augmentation

        return stain_augmentation()
    if name == "flip_scale_drop":
        flips = [v2.RandomHorizontalFlip(0.25), v2.RandomVerticalFlip(0.25)]
        further = [v2.RandomApply([_ReflectedAffine()], 0.25), v2.RandomApply([_BlackSquares()], 0.5)]
        return v2.Compose([*flips, *further])
    if name == "scale_rotate":
        affine = v2.RandomAffine(10, scale=(0.9, 1.1), interpolation=InterpolationMode.BILINEAR)
        return v2.RandomApply([affine], 0.5)
    rotation = v2.RandomRotation(30, interpolation=InterpolationMode.NEAREST)
    return v2.Compose([v2.RandomHorizontalFlip(0.5), v2.RandomApply([rotation], 0.5)])
