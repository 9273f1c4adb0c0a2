"""Predictors without a challenge: a model with its weights, for arrays and for folders of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.challenges.declared.bare import BARE, bare_challenge
from medbench.challenges.declared.images import scaled_to_one
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.progress import Progress
from medbench.core.sample import Sample, VolumeSample
from medbench.inference.predictor import Predictor
from medbench.io import images
from medbench.io.gate.listing import list_folder
from medbench.models import model_entry
from medbench.running.networks import NetworkPlan, plan_network
from medbench.running.request import (
    AUTO,
    NONE,
    Inference,
    Request,
    RunPlan,
    check_inference,
    request_fields,
)
from medbench.running.setup import Setup
from medbench.running.weights import Weights, read_weights


@dataclass(frozen=True)
class ArrayPredictor:
    """A model with its weights, ready to predict arrays.

    Attributes:
        setup: network, weights and settings, as in a run.
        known: whether the challenge that the weights learnt from is known here.
        values: black and white of images with more than 8 bits; ``None`` refuses such images.
    """

    setup: Setup
    known: bool
    values: tuple[float, float] | None = None

    @property
    def network(self) -> NetworkPlan:
        """The planned network."""
        return self.setup.network

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, by their indices in the answers."""
        return next(iter(self.setup.challenge.card.demands.values()))

    @property
    def modalities(self) -> Sequence[str]:
        """Names of a volume's channels; empty for images."""
        return tuple(self.setup.challenge.card.modalities)

    def predict(self, array: Any, spacing: Sequence[float] | None = None) -> npt.NDArray[Any]:
        """The answer for one image or volume, the same as inside a run.

        Args:
            array: of a network for images ``(height, width)`` grey or ``(height, width, 3)`` RGB, 8 bit,
                from 0 to 1, or of any kind where :attr:`values` say what is black and white; of a network
                for volumes ``(depth, height, width)``, or ``(modalities, depth, height, width)``.
            spacing: mm along the spatial axes; networks here do not depend on it, programs are told.

        Returns:
            Class indices at the size of the input, 8 bit; or probabilities ``(classes,)``, float32.

        Raises:
            MedbenchError: ``predict.array`` for an array of another form, or as the predictor.
        """
        values = np.asarray(array)
        if not values.size or values.dtype.kind not in "uif" or not np.isfinite(values).all():
            raise _refused(f"{values.dtype} {values.shape}", "a finite array of numbers")
        demands = frozenset(self.setup.challenge.card.demands)
        if self.network.sees_volumes:
            answer = self._predictor.predict(self._volume(values, spacing, demands))
        else:
            answer = self._predictor.predict(
                Sample(Case("array", {}), self._image(values)[np.newaxis], demands)
            )
        result: npt.NDArray[Any] = answer[next(iter(demands))]
        return result if self.network.sees_volumes else result[0]

    def _image(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if values.ndim == 2:
            values = values[..., np.newaxis]
        if values.ndim != 3 or values.shape[2] not in (1, 3):
            raise _refused(str(values.shape), "(height, width) grey or (height, width, 3) RGB")
        if values.dtype == np.uint8:
            return values
        if self.values is not None:
            return scaled_to_one(values, self.values)
        if values.dtype.kind != "f" or values.min() < 0 or values.max() > 1:
            values_range = f"{values.dtype} from {values.min():g} to {values.max():g}"
            raise _refused(values_range, "8-bit values, or floating-point ones from 0 to 1")
        return values.astype(np.float32)

    def _volume(
        self, values: npt.NDArray[Any], spacing: Sequence[float] | None, demands: frozenset[str]
    ) -> VolumeSample:
        volumes = values[np.newaxis] if values.ndim == 3 else values
        count = len(self.modalities)
        if volumes.ndim != 4 or len(volumes) != count:
            raise _refused(
                str(values.shape), f"({count}, depth, height, width) of {', '.join(self.modalities)}"
            )
        if spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
            raise _refused(f"spacing {tuple(spacing)}", "three lengths in mm, of depth, height and width")
        least = volumes.min(axis=(1, 2, 3), keepdims=True)
        if not self.known or self.setup.challenge.release.folder is not None:
            volumes = np.where(least < 0, volumes - least, volumes).astype(np.float32)
        steps = None if spacing is None else tuple(map(float, spacing))
        case = Case("array", dict.fromkeys(self.modalities, Path("array")))
        return VolumeSample(case, tuple(self.modalities), volumes, (True,) * count, steps, demands)

    @property
    def _predictor(self) -> Predictor:
        predictor: Predictor | None = self.__dict__.get("_made")
        if predictor is None:
            predictor = self.setup.predictor()
            self.__dict__["_made"] = predictor
        return predictor


def say_fresh_weights(request: Request, network: NetworkPlan, progress: Progress) -> None:
    """Say that a network has fresh weights because nobody gave others; ``--weights none`` asks for them."""
    if request.weights == AUTO and network.entry.learns:
        progress.say(
            f"No weights given: {network.name} has fresh ones, so its answers mean nothing. Give --weights "
            "FILE, or --weights none if that is meant."
        )


def load_predictor(
    model: str,
    *,
    weights: str | Path = NONE,
    classes: int | Sequence[str] | None = None,
    modalities: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    inference: Inference | None = None,
    folder: Path | None = None,
    values: tuple[float, float] | None = None,
) -> ArrayPredictor:
    """A model with its weights, without a challenge.

    Args:
        model: model name.
        weights: checkpoint file, or ``none`` for fresh ones and models that bring their own.
        classes: names or number of the classes, the background of label maps included; what a training of
            medbench or an export says of itself if not given.
        modalities: of volumes; as the weights learnt them if not given.
        options: of the model.
        inference: device, precision, batch and image size …
        folder: of images, for a predictor of files.
        values: black and white of images with more than 8 bits; as the declared data that the weights learnt
            say, if not given.

    Raises:
        MedbenchError: ``predict.classes`` where nothing says what the classes are, and as a run's own checks.
    """
    fields = request_fields({"weights": str(weights), "options": options, "inference": inference})
    fields["inference"] = fields["inference"].on_this_machine()
    request = Request(model=model, challenge=BARE, **fields)
    path = request.weights_file
    read = Weights() if path is None else read_weights(path)
    challenge, is_known = _challenge(request, read, classes, tuple(modalities), folder)
    options = {**read.facts.get("options", {}), **request.options}
    challenge, network = _planned(request, challenge, is_known, options)
    if network.framework is not None:
        raise MedbenchError(
            "predict.framework",
            f"{model}: predicts by its plan, and only cases of a challenge.",
            "Give -c CHALLENGE.",
        )
    check_inference(challenge, network, request.inference)
    if path is not None and network.entry.local and not network.entry.learns:
        raise MedbenchError(
            "weights.not_taken", f"{network.name}: brings its own weights.", "Leave --weights out."
        )
    declaration_values = (
        getattr(getattr(challenge.release, "declaration", None), "values", None) if is_known else None
    )
    return ArrayPredictor(
        Setup.of(RunPlan(request, challenge, network), read), is_known, values or declaration_values
    )


def _planned(
    request: Request, challenge: Challenge, is_known: bool, options: Mapping[str, Any]
) -> tuple[Challenge, NetworkPlan]:
    """The network and the challenge that it serves: one's own that gives one logit a class classes images.

    Raises:
        MedbenchError: as :func:`medbench.running.networks.plan_network`.
    """
    size = request.inference.image_size
    try:
        return challenge, plan_network(request.model, challenge, options, size)
    except MedbenchError as error:
        if error.code != "model.output" or is_known or challenge.card.modalities:
            raise
        names = next(iter(challenge.card.demands.values()))
        whole = bare_challenge(challenge.release.folder or Path(), names, task="image_classes")
        try:
            return whole, plan_network(request.model, whole, options, size)
        except MedbenchError:
            raise error from None


def _challenge(
    request: Request,
    weights: Weights,
    classes: int | Sequence[str] | None,
    modalities: Sequence[str],
    folder: Path | None,
) -> tuple[Challenge, bool]:
    """The challenge that the weights learnt, where it is known here; else one of images alone."""
    facts = weights.facts
    if classes is None and "challenge" in facts:
        try:
            return load_challenge(facts["challenge"]), True
        except MedbenchError:
            pass
    task, names = _classes(request, facts, classes)
    if len(names) < 2:
        raise MedbenchError(
            "predict.classes",
            f"--classes names {len(names)}, and a network answers with two or more, the background included.",
            "For one structure: --classes background,polyp, or 2.",
        )
    is_volume = model_entry(request.model).spatial_dims == 3 or _holds_volumes_alone(folder)
    channels = modalities or (("image",) if is_volume else ())
    return bare_challenge(folder or Path(), names, task=task, modalities=channels), False


def _holds_volumes_alone(folder: Path | None) -> bool:
    """Whether a folder holds volumes and no images; not where it is not there or not given."""
    if folder is None or not folder.is_dir():
        return False
    suffixes = {entry.suffix for entry in list_folder(folder, set(images.SUFFIXES)).entries}
    return bool(suffixes) and suffixes <= set(images.VOLUME_SUFFIXES)


def _classes(
    request: Request, facts: Mapping[str, Any], classes: int | Sequence[str] | None
) -> tuple[str, list[str]]:
    """Task and names of the classes: as given, as the weights learnt, or as an export says."""
    entry = model_entry(request.model)
    own_task = next(iter(entry.offers))
    if classes is not None:
        if isinstance(classes, int):
            names = ["background", *(f"class_{index}" for index in range(1, classes))]
            return own_task, names[:classes]
        return own_task, list(classes)
    if facts.get("classes"):
        task, names = next(iter(facts["classes"].items()))
        return task, list(names)
    if entry.local == "file":
        from medbench.models.local.exported import read_facts
        from medbench.models.local.names import local_model

        model = local_model(request.model)
        assert model is not None
        export = read_facts(model.path)
        if export.classes:
            return export.task, list(export.classes)
    raise MedbenchError(
        "predict.classes",
        f"{request.model}: nothing says which classes it has.",
        "Give --classes background,polyp (or their number).",
    )


def _refused(what: str, form: str) -> MedbenchError:
    return MedbenchError(
        "predict.array", f"The array is {what}, expected {form}.", "Bring the array into that form."
    )
