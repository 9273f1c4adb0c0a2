"""Batches of patches of training volumes, which depend on seed, epoch and position alone."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, sha256_json
from medbench.inference.volumes import VolumeContract
from medbench.training.data import split
from medbench.training.epoch_keys import Key, ShuffledSampler, plain_keys
from medbench.training.losses import held_out_dice
from medbench.training.missing_modalities import expected_counts, random_subset
from medbench.training.task import SegmentationTask
from medbench.training.training_batches import Batches, SplitData
from medbench.training.volume_augmentation import mirrored, rescaled, rotated

if TYPE_CHECKING:
    from medbench.core.sample import TrainingVolume
    from medbench.training.recipes import Recipe

Item = tuple[Tensor, Tensor, Tensor]
logger = logging.getLogger(__name__)
_TRIES = 50


class TrainingPatches(Dataset[Item]):
    """Patches by ``(epoch, number)``, ``recipe.patches`` of every volume; epoch −1 is validation.

    Patches are cubes; of a contract with single planes, the patches of successive numbers and epochs show one
    plane after the other.

    Some patches are centred on a voxel of a structure, all structures equally likely. A patch of background
    alone is drawn again: the gradients of instance norms overflow on constant input. Cases are cropped and
    normalised once, and cached on disk in half precision.

    Args:
        volumes: the training volumes.
        recipe: gives patches, augmentation and seed.
        contract: how volumes are prepared for the network.
        cache: folder for the prepared cases.
    """

    def __init__(
        self, volumes: Sequence[TrainingVolume], recipe: Recipe, contract: VolumeContract, cache: Path
    ) -> None:
        self.volumes = volumes
        self.recipe = recipe
        self.contract = contract
        self.cache = cache
        self.window = dataclasses.replace(contract, size=recipe.image_size).window
        self._constant_cases: set[str] = set()

    def __len__(self) -> int:
        return len(self.volumes) * self.recipe.patches

    def __getitem__(self, key: Key) -> Item:
        """Patch ``(modalities, *window)``, its class indices, and which modalities it shows."""
        epoch, number = key
        volume = self.volumes[number // self.recipe.patches]
        array, labels, present = self._prepared(volume)
        rng = np.random.default_rng([self.recipe.seed, epoch + 1, number])
        window = self.window
        for _ in range(_TRIES):
            corner = _corner(labels, self.recipe, window, rng)
            if self.contract.planes == 1:
                turn = number % self.recipe.patches + max(epoch, 0) * self.recipe.patches
                corner = (turn % labels.shape[0], *corner[1:])
            part = tuple(slice(at, at + side) for at, side in zip(corner, window, strict=True))
            patch = np.array(array[(slice(None), *part)], np.float32)
            if (np.ptp(patch[present], axis=(1, 2, 3)) > 0).all():
                break
        else:
            self._warn_of_constant_patches(volume.id)
        truth = np.array(labels[part], np.int64)
        visible = present.copy()
        if epoch >= 0:
            patch, truth = self._varied(patch, truth, array, rng)
            if volume.visible:
                visible &= volume.visible
            if self.recipe.hide_sequences:
                visible = random_subset(visible, rng)
            patch[~visible] = 0
        patch, truth = _filled(patch, truth, window)
        return torch.from_numpy(patch), torch.from_numpy(truth), torch.from_numpy(visible)

    def _warn_of_constant_patches(self, case: str) -> None:
        if case not in self._constant_cases:
            self._constant_cases.add(case)
            logger.warning(
                "%s: %d patches in succession were constant in one of the modalities, and the last patch is "
                "used; look at the volumes of this case.",
                case,
                _TRIES,
            )

    def _varied(
        self,
        patch: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
        whole: npt.NDArray[np.float16],
        rng: np.random.Generator,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """The patch after the recipe's augmentation; the corners of its case give the background's value."""
        name = self.recipe.augmentation
        if name == "none":
            return patch, labels
        if name == "turn_mirror":
            corners = np.array(whole[:, :: whole.shape[1] - 1 or 1, :: whole.shape[2] - 1 or 1], np.float32)
            background = np.median(corners[..., [0, -1]], axis=(1, 2, 3)).astype(np.float32)
            patch, labels = rotated(patch, labels, background, rng)
            patch = rescaled(patch, rng, by_plane=True)
            return mirrored(patch, labels, rng)
        patch, labels = mirrored(patch, labels, rng)
        return rescaled(patch, rng, by_plane=False), labels

    def _prepared(
        self, volume: TrainingVolume
    ) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        states = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in volume.files]
        how = [self.contract.size, self.contract.background]
        how += [self.contract.planes, self.contract.centre] if self.contract.planes else []
        key = sha256_json(["volumes-1", *how, states])[:16]
        paths = [self.cache / f"{volume.id}-{key}-{what}.npy" for what in ("images", "labels", "present")]
        if not all(path.exists() for path in paths):
            sample, labels = volume.load()
            network_input = self.contract.prepare(sample)
            arrays: tuple[npt.NDArray[Any], ...] = (
                network_input.array.astype(np.float16),
                labels[network_input.box],
                network_input.present,
            )
            for path, array in zip(paths, arrays, strict=True):
                with atomic_path(path) as temporary:
                    np.save(temporary, array)
        images, labels, present = (np.load(path, mmap_mode="r") for path in paths)
        return images, labels, np.array(present)


class VolumeData(Batches):
    """Batches of patches of a challenge's training volumes."""

    def __init__(
        self,
        volumes: Sequence[TrainingVolume],
        recipe: Recipe,
        contract: VolumeContract,
        cache: Path,
        *,
        workers: int = 0,
    ) -> None:
        training, validation = split(volumes, recipe)
        if not training:
            raise MedbenchError(
                "training.no_labels", "There is no labelled case to learn from.", "Check the training split."
            )
        data = SplitData(
            TrainingPatches(volumes, recipe, contract, cache),
            ShuffledSampler(_patches_of(training, recipe), recipe.seed),
            training,
            validation,
            plain_keys(_patches_of(validation, recipe)),
        )
        super().__init__(data, recipe.batch_size, workers)
        self.visible = [volumes[index].visible for index in training]
        self.hide_sequences = recipe.hide_sequences

    def rarity(self) -> list[float] | None:
        """Samples of an epoch over samples that show each modality; ``None`` where ``visible`` is not set."""
        if not all(self.visible):
            return None
        counts = expected_counts(np.array(self.visible, bool), subsets=self.hide_sequences)
        return [float(len(self.visible) / max(count, 1.0)) for count in counts]


def _patches_of(indices: Sequence[int], recipe: Recipe) -> list[int]:
    """Numbers of the patches of these volumes."""
    return [index * recipe.patches + patch for index in indices for patch in range(recipe.patches)]


class VolumeTask(SegmentationTask):
    """Trains a network of volumes on patches; the network may also take which modalities are present.

    Supervised levels count half as much as the next finer one, as in nnU-Net.
    """

    def __init__(
        self, network: nn.Module, recipe: Recipe, num_classes: int, total_steps: int, *, with_mask: bool
    ) -> None:
        super().__init__(network, recipe, num_classes, total_steps)
        self.with_mask = with_mask

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """The batch as it is: every patch has labels."""
        return batch

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Loss of one batch of patches by the recipe."""
        patches, labels, present = batch
        finest, *coarser = self._outputs(patches, present)
        loss = self.loss(finest, labels)
        if coarser:
            loss = loss + sum(self.loss(logits, labels) / 2**level for level, logits in enumerate(coarser, 1))
            loss = loss / sum(1 / 2**level for level in range(len(coarser) + 1))
        self.log("loss", loss)
        return self.shared(loss, len(patches))

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        """Mean Dice of the structures on held-out patches."""
        patches, labels, present = batch[:3]
        self.log_dice(
            held_out_dice(self._logits(patches, present), labels, self.num_classes), len(patches), batch_idx
        )

    def _logits(self, patches: Tensor, present: Tensor) -> Tensor:
        return self._outputs(patches, present)[0]

    def _outputs(self, patches: Tensor, present: Tensor) -> list[Tensor]:
        """Logits at the size of the patches, those of supervised coarser levels after the finest."""
        output = self.network(patches, present) if self.with_mask else self.network(patches)
        if isinstance(output, list):
            return output
        return [(output[0] if isinstance(output, tuple) else output).contiguous()]


def _corner(
    labels: npt.NDArray[np.uint8], recipe: Recipe, window: Sequence[int], rng: np.random.Generator
) -> tuple[int, ...]:
    """First corner of a patch: anywhere, or with a voxel of a structure as near the centre as possible."""
    room = [max(0, side - size) for side, size in zip(labels.shape, window, strict=True)]
    structures: npt.NDArray[np.uint8] = np.setdiff1d(labels, 0)
    if rng.random() >= recipe.structure_share or not structures.size:
        return tuple(int(rng.integers(0, free + 1)) for free in room)
    places = np.argwhere(labels == rng.choice(structures))
    centre = places[rng.integers(len(places))]
    return tuple(
        int(np.clip(at - size // 2, 0, free)) for at, size, free in zip(centre, window, room, strict=True)
    )


def _filled(
    patch: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], window: Sequence[int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The patch with zeros on both sides of axes that are shorter than the window."""
    gaps = [
        (max(0, size - side) // 2, max(0, size - side + 1) // 2)
        for side, size in zip(labels.shape, window, strict=True)
    ]
    if not any(sum(gap) for gap in gaps):
        return patch, labels
    return np.pad(patch, [(0, 0), *gaps]), np.pad(labels, gaps)
