"""Inference settings of a request, and whether they apply to a challenge's cases and to a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name
from medbench.core.slides import SlideSettings
from medbench.models.devices import check_device_name, check_precision, present_device
from medbench.running.networks import NetworkPlan

AUTO = "auto"
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class Inference:
    """Settings of inference that decide the result.

    Attributes:
        device: ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda``, ``cuda:1`` … or ``mps``.
        precision: ``fp32``, ``bf16`` or ``fp16``; ``tf32`` on CUDA.
        batch_size: images (``None``: 8) or windows of a volume (``None``: 1) a forward pass; on the CPU
            batches never mix cases.
        image_size: side that images are resized to, or of a volume's windows; ``None`` takes the training's
            or the published one.
        modalities: modalities that may be seen, by any of their names; ``None`` shows all that are there.
        overlap: of a volume's windows, from 0 to below 1; ``None``: one half.
        mirror: average over mirrored views of images or of a volume's windows; ``None``: as the model does by
            itself.
        tiling: settings of slides that differ from the challenge's own, by the names of
            :class:`medbench.core.slides.SlideSettings`.
        stitch: average the probabilities of overlapping images of one slide before the labels are taken.
        force_precision: accept a precision that the processor only emulates.
    """

    device: str = AUTO
    precision: str = "fp32"
    batch_size: int | None = None
    image_size: int | None = None
    modalities: tuple[str, ...] | None = None
    overlap: float | None = None
    mirror: bool | None = None
    tiling: Mapping[str, int] = field(default_factory=dict)
    stitch: bool = False
    force_precision: bool = False

    def __post_init__(self) -> None:
        check_device_name(self.device)
        if self.overlap is not None and not 0 <= self.overlap < 1:
            raise MedbenchError(
                "inference.overlap",
                f"An overlap of {self.overlap:g} lies outside 0 ≤ x < 1.",
                "Give the fraction by which neighbouring sliding windows overlap, such as 0.5.",
            )
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        for flag in ("batch_size", "image_size"):
            value = getattr(self, flag)
            if value is not None and (not _is_whole(value) or value < 1):
                raise MedbenchError(
                    "inference.setting",
                    f"{flag}={value!r} is no whole number of 1 or more.",
                    "Give one, or leave it out.",
                )

    def arguments(self) -> list[str]:
        """Command-line options that set these values, save the device."""
        arguments = []
        for flag in ("precision", "batch_size", "image_size", "overlap"):
            value = getattr(self, flag)
            if value != getattr(_DEFAULT, flag):
                arguments += [f"--{flag.replace('_', '-')}", str(value)]
        if self.mirror is not None:
            arguments.append("--mirror" if self.mirror else "--no-mirror")
        arguments += ["--modalities", ",".join(self.modalities)] if self.modalities else []
        for name, setting in self.tiling.items():
            arguments += ["--tiling", f"{name}={setting}"]
        arguments += ["--force-precision"] if self.force_precision else []
        return arguments + (["--stitch"] if self.stitch else [])

    def on_this_machine(self) -> Inference:
        """The settings with the device that ``auto`` stands for here.

        Raises:
            MedbenchError: ``device.missing``, ``precision.device`` or ``precision.emulated``.
        """
        device = present_device(self.device)
        check_precision(device.partition(":")[0], self.precision, force=self.force_precision)
        return dataclasses.replace(self, device=device)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


_DEFAULT = Inference()


def check_inference(challenge: Challenge, network: NetworkPlan, inference: Inference) -> None:
    """Refuse inference settings that do not apply to the challenge's cases or to the network.

    Raises:
        MedbenchError: ``inference.setting``, ``inference.volumes_only``, ``inference.planned`` or
            ``model.slides``.
    """
    names = (
        [entry.name for entry in dataclasses.fields(SlideSettings)] if challenge.card.slide_settings else []
    )
    for name in inference.tiling:
        if name not in names:
            error = unknown_name("setting of slides", name, names)
            hint = error.hint if names else f"Cases of {challenge.title} are no slides."
            raise MedbenchError("inference.setting", error.message, hint)
    _check_tiling(inference.tiling)
    if inference.stitch and challenge.exchange.patch_position is None:
        raise MedbenchError(
            "inference.setting",
            f"Cases of {challenge.title} are not cut from larger images, so there is nothing to stitch.",
            "Leave --stitch out.",
        )
    if network.form == "sequence":
        _refuse_of_images(network, inference)
    if network.framework is not None:
        _refuse_planned(challenge, network, inference)
    elif inference.overlap is not None and not network.sees_volumes:
        raise MedbenchError(
            "inference.volumes_only",
            f"{network.name} sees {network.form}s; --overlap is for volumes.",
            "Leave it out, or choose a three-dimensional model.",
        )
    elif inference.mirror and (
        network.learns in ("sequences", "landmarks", "boxes") or network.entry.predictor
    ):
        raise MedbenchError(
            "inference.setting",
            f"{network.name} has no mirrored views of its {network.form}s.",
            "Leave --mirror out.",
        )


def _check_tiling(tiling: Mapping[str, Any]) -> None:
    """Refuse lengths of slides that are no whole numbers of pixels.

    Raises:
        MedbenchError: ``inference.setting``.
    """
    for name, value in tiling.items():
        least = 1 if name == "patch_px" else 0
        if not _is_whole(value) or value < least or (name == "tissue" and value > 1):
            due = "0 or 1" if name == "tissue" else f"a whole number of {least} or more"
            raise MedbenchError(
                "inference.setting", f"--tiling {name}={value}: expected {due}.", "Correct it."
            )


def _refuse_of_images(network: NetworkPlan, inference: Inference) -> None:
    """Refuse sizes of images and batches for a network that sees a whole sequence at a time."""
    for flag in ("batch_size", "image_size"):
        if getattr(inference, flag) is not None:
            raise MedbenchError(
                "inference.setting",
                f"{network.name} sees a {network.form} as a whole and takes no {flag.replace('_', ' ')}.",
                f"Leave --{flag.replace('_', '-')} out.",
            )


def _refuse_planned(challenge: Challenge, network: NetworkPlan, inference: Inference) -> None:
    """Refuse settings that a framework decides by its plan; and slides, unless the framework sees them."""
    assert network.framework is not None
    model, slides = network.name, challenge.card.slide_settings is not None
    if (slides and network.form != "slide") or inference.stitch:
        raise MedbenchError(
            "model.slides",
            f"{model} predicts whole images only, neither slides nor stitched patches.",
            "Choose another model; 'medbench models' lists them.",
        )
    if not network.framework.has_views and (inference.overlap is not None or inference.mirror):
        flag = "--mirror" if inference.overlap is None else "--overlap"
        raise MedbenchError(
            "inference.setting",
            f"{model} looks at no image, so {flag} has no effect.",
            f"Leave {flag} out.",
        )
    for flag in ("batch_size", "image_size", "precision", "tiling"):
        if getattr(inference, flag) != getattr(_DEFAULT, flag):
            raise MedbenchError(
                "inference.planned",
                f"{model} takes its {flag.replace('_', ' ')} from its plan.",
                f"Leave --{flag.replace('_', '-')} out.",
            )
