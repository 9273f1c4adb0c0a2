"""Classes of whole images by what prompts say of them, without any training on the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.models.cm_cgns.pretraining_network import Pairs, PretrainingNetwork
from medbench.models.options import refuse_options

Prompt = Sequence[Sequence[int]]
"""Token ids, and the sentence of each, from 1 on and -1 for marks."""


class ZeroShot(PretrainingNetwork):
    """A pre-trained network that compares an image with prompts of every class.

    Args:
        in_channels: channels of the images.
        num_classes: classes of whole images.
        prompts: for each class its prompts, as token ids and sentences; the class is their mean.
        options: of :class:`PretrainingNetwork`.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 6,
        *,
        prompts: Sequence[Sequence[Prompt]] = (),
        **options: Any,
    ) -> None:
        super().__init__(in_channels, **options)
        refuse_options(
            "cm_cgns.zero_shot",
            (
                (
                    bool(prompts) and len(prompts) != num_classes,
                    f"prompts are of {counted(len(prompts), 'class', 'classes')}, expected {num_classes}",
                ),
                (any(not own for own in prompts), "prompts leave a class without any"),
            ),
        )
        self.prompts = prompts
        self._classes: Tensor | None = None

    def train(self, mode: bool = True) -> ZeroShot:
        """As of any module; the classes are computed anew."""
        self._classes = None
        super().train(mode)
        return self

    def class_vectors(self, device: torch.device | None = None) -> Tensor:
        """One vector ``(classes, width)`` of unit length for each class.

        Raises:
            MedbenchError: ``prompts.missing``.
        """
        if not self.prompts:
            raise MedbenchError(
                "prompts.missing", "Without prompts there are no classes.", "Give --prompts FILE."
            )
        classes = []
        for prompts in self.prompts:
            longest = max(len(ids) for ids, _ in prompts)
            ids, numbers = (
                torch.tensor(
                    [[*row, *([fill] * (longest - len(row)))] for row in rows],
                    device=device,
                    dtype=torch.long,
                )
                for rows, fill in ((([p[0] for p in prompts]), 0), (([p[1] for p in prompts]), -1))
            )
            lengths = torch.tensor([len(p[0]) for p in prompts], device=device)
            present = (torch.arange(longest, device=device) < lengths[:, None]).long()
            vectors = self.encode_reports(Pairs(ids.new_zeros(0), ids, present, numbers))
            classes.append(functional.normalize(vectors.mean(dim=0), dim=0))
        return torch.stack(classes)

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        """Image logits ``(N, classes)``: scaled cosines of images and classes."""
        if self._classes is None or self.training or self._classes.device != images.device:
            classes = self.class_vectors(images.device)
            if self.training:
                return self.alignment.logit_scale.exp() * self.encode_images(images)[0] @ classes.T
            self._classes = classes
        return self.alignment.logit_scale.exp() * self.encode_images(images)[0] @ self._classes.T
