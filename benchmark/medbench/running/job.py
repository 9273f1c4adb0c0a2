"""A model on a split, resolved: data, cases, weights and settings."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.case import Case, Data
from medbench.core.errors import MedbenchError
from medbench.core.folders import cache_folder
from medbench.core.progress import Progress
from medbench.core.registry import unknown_name
from medbench.core.sample import AnySample
from medbench.core.slides import SlideSettings
from medbench.inference.predictor import Predictor
from medbench.running.data import choose_cases, resolve_data
from medbench.running.modalities import known_modalities, with_modalities
from medbench.running.networks import NetworkPlan, plan_network
from medbench.running.train import find_trained, no_weights, plan_training, recipe_for, train_planned

if TYPE_CHECKING:
    from medbench.training.framework import Framework


@dataclass(frozen=True, slots=True)
class Inference:
    """Settings of the forward pass that decide the result.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:1`` …
        precision: ``fp32``, ``bf16`` or ``fp16``.
        batch_size: pictures (``None``: 8) or windows of a volume (``None``: 1) a forward pass; batches never
            mix cases.
        image_size: side that pictures are resized to, or of a volume's windows; ``None`` takes the training's
            or the published one.
        modalities: sequences that may be seen, by any of their names; ``None`` shows all that are there.
        overlap: of a volume's windows, from 0 to below 1; ``None``: one half.
        mirror: average over a volume's mirrored views; ``None``: as the model does by itself.
        tiling: settings of slides that differ from the challenge's own, by the names of
            :class:`medbench.core.slides.SlideSettings`.
        stitch: average the probabilities of overlapping pictures of one slide before the labels are taken.
    """

    device: str = "cpu"
    precision: str = "fp32"
    batch_size: int | None = None
    image_size: int | None = None
    modalities: tuple[str, ...] | None = None
    overlap: float | None = None
    mirror: bool | None = None
    tiling: Mapping[str, int] = field(default_factory=dict)
    stitch: bool = False

    def __post_init__(self) -> None:
        if self.overlap is not None and not 0 <= self.overlap < 1:
            raise MedbenchError(
                "inference.overlap",
                f"An overlap of {self.overlap:g} is no share of a window.",
                "Give 0 to 0.9.",
            )
        if self.precision not in ("fp32", "bf16", "fp16"):
            raise unknown_name("precision", self.precision, ("fp32", "bf16", "fp16"))


@dataclass(slots=True)
class Job:
    """A model on a split, resolved."""

    challenge: Challenge
    data: Data
    split: str
    cases: list[Case]
    pattern: str
    network: NetworkPlan
    weights: Path | None
    weights_kind: Literal["none", "file", "trained"]
    inference: Inference
    seed: int
    facts: dict[str, Any] = field(default_factory=dict)
    untrained: list[str] = field(default_factory=list)
    modalities: tuple[str, ...] | None = None

    def settings(self) -> dict[str, Any]:
        """What of the inference decides the result."""
        inference, volumes = self.inference, self.network.sees_volumes
        overlap = 0.5 if inference.overlap is None else inference.overlap
        if self.network.framework is not None:
            return {
                "device": inference.device.split(":")[0],
                "overlap": overlap,
                "mirror": inference.mirror is not False,
                "cases": self.pattern,
                **({} if self.modalities is None else {"modalities": list(self.modalities)}),
            }
        settings = {
            "device": inference.device.split(":")[0],
            "precision": inference.precision,
            "batch_size": inference.batch_size or (1 if volumes else 8),
            "image_size": inference.image_size
            or self.facts.get("image_size")
            or self.network.entry.image_size,
            "cases": self.pattern,
            **({} if self.slide_settings is None else {"tiling": dataclasses.asdict(self.slide_settings)}),
            **({"stitch": True} if self.inference.stitch else {}),
        }
        if volumes:
            settings |= {"overlap": overlap, "mirror": bool(inference.mirror)}
        return settings if self.modalities is None else {**settings, "modalities": list(self.modalities)}

    def read(self, case: Case) -> AnySample:
        """What the network may see of a case.

        Raises:
            MedbenchError: as the challenge's own reading, or ``data.no_modality``.
        """
        seen = case if self.modalities is None else with_modalities(case, self.modalities)
        return self.challenge.exchange.inputs[self.network.form].read(seen)

    @property
    def slide_settings(self) -> SlideSettings | None:
        """How slides are predicted, if the cases are slides."""
        own = self.challenge.card.slide_settings
        return None if own is None else dataclasses.replace(own, **self.inference.tiling)

    def predictor(self, work: Path | None = None, progress: Progress | None = None) -> Predictor:
        """Build the network and load its weights.

        Args:
            work: where unfinished slides are kept, so that a repeated call goes on with them.
            progress: told of every tile of a slide.
        """
        import torch

        from medbench.inference.predictor import NetworkPredictor
        from medbench.inference.volumes import VolumePredictor
        from medbench.inference.weights import load_checkpoint, load_into

        if self.inference.device.startswith("cuda") and not torch.cuda.is_available():
            raise MedbenchError("device.missing", "There is no CUDA device here.", "Use --device cpu.")
        torch.manual_seed(self.seed)
        if self.network.framework is not None:
            return self._framework_predictor(self.network.framework)
        network = self.network.build()
        if self.weights is not None:
            load_into(network, self.network.name, load_checkpoint(self.weights), str(self.weights))
        settings = self.settings()
        chosen = {
            "device": self.inference.device,
            "batch_size": settings["batch_size"],
            "precision": self.inference.precision,
        }
        if self.network.sees_volumes:
            windows = self.network.volume_contract(settings["image_size"])
            chosen |= {"overlap": settings["overlap"], "mirror": settings["mirror"]}
            return VolumePredictor(network, windows, **chosen)
        contract, tasks = self.network.contract(settings["image_size"]), tuple(self.network.outputs)
        plain = NetworkPredictor(network, contract, tasks=tasks, **chosen)
        if self.slide_settings is not None:
            from medbench.inference.slides import SlidePredictor

            return SlidePredictor(plain, self.slide_settings, work=work, progress=progress)
        if self.inference.stitch:
            from medbench.inference.stitching import StitchingPredictor

            cases = self.challenge.cases(self.data.root, self.split)
            return StitchingPredictor(plain, self.challenge.exchange, cases)
        return plain

    def _framework_predictor(self, framework: Framework) -> Predictor:
        from medbench.inference.weights import load_checkpoint

        assert self.weights is not None, "a framework has no network before a plan"
        settings = self.settings()
        return framework.predictor(
            load_checkpoint(self.weights),
            self.challenge,
            device=self.inference.device,
            overlap=settings["overlap"],
            mirror=settings["mirror"],
        )


def check_inference(challenge: Challenge, inference: Inference) -> None:
    """Refuse settings of slides for a challenge without slides, and stitching where nothing overlaps.

    Raises:
        MedbenchError: ``inference.setting``.
    """
    known = (
        [entry.name for entry in dataclasses.fields(SlideSettings)] if challenge.card.slide_settings else []
    )
    for name in inference.tiling:
        if name not in known:
            error = unknown_name("setting of slides", name, known)
            hint = error.hint if known else f"Cases of {challenge.title} are no slides."
            raise MedbenchError("inference.setting", error.message, hint)
    if inference.stitch and challenge.exchange.patch_position is None:
        raise MedbenchError(
            "inference.setting",
            f"Cases of {challenge.title} are not cut from larger pictures, so there is nothing to stitch.",
            "Leave --stitch out.",
        )


def resolve(
    model: str,
    challenge: str,
    *,
    data: str | Path | None,
    split: str | None,
    weights: str | Path,
    recipe: str | None,
    options: dict[str, Any] | None,
    inference: Inference | None,
    cases: str,
    seed: int,
    runs: Path,
    progress: Progress,
) -> Job:
    """Find data, cases, network and weights; on the sample, weights that are missing are fitted now.

    Raises:
        MedbenchError: for unknown names, missing data or missing weights.
    """
    loaded = load_challenge(challenge)
    chosen_split = split or loaded.release.default_split
    loaded.release.check_split(chosen_split)
    check_inference(loaded, inference or Inference())
    network = plan_network(model, loaded, options or {})
    inference = inference or Inference()
    if network.framework is not None:
        _refuse_planned(model, loaded, inference, weights)
    elif (inference.mirror or inference.overlap is not None) and not network.sees_volumes:
        raise MedbenchError(
            "inference.volumes_only",
            f"{model} sees pictures; --mirror and --overlap are for volumes.",
            "Leave them out, or choose a three-dimensional model.",
        )
    modalities = None if inference.modalities is None else known_modalities(loaded, inference.modalities)
    resolved = resolve_data(loaded, Path(data) if data is not None else None, progress)
    chosen = choose_cases(loaded.cases(resolved.root, chosen_split), cases)
    path, kind = _choose_weights(loaded, resolved, network, weights, recipe, runs, chosen_split, progress)
    network, facts = fit_to_weights(network, path)
    if facts.get("challenge") == challenge:
        _refuse_leak(loaded, facts["split"], chosen_split, f"{path}: learnt from")
    return Job(
        loaded,
        resolved,
        chosen_split,
        chosen,
        cases,
        network,
        path,
        kind,
        inference,
        seed,
        facts,
        modalities=modalities,
    )


def _choose_weights(
    challenge: Challenge,
    data: Data,
    network: NetworkPlan,
    weights: str | Path,
    recipe: str | None,
    runs: Path,
    split: str,
    progress: Progress,
) -> tuple[Path | None, Literal["none", "file", "trained"]]:
    """The file that ``weights`` means, fitted now where that is allowed.

    Raises:
        MedbenchError: ``weights.none``, ``weights.leak``, or as a framework's own reading.
    """
    if str(weights) == "none":
        return None, "none"
    if str(weights) != "auto":
        path = Path(weights)
        if network.framework is not None:
            path = network.framework.import_weights(path, network.name, cache_folder() / "imported")
        return path, "file"
    learnt_from = challenge.release.training_split_of(split)
    _refuse_leak(challenge, learnt_from, split, "Weights would be learnt from")
    found = find_trained(challenge, data, network, runs, recipe, learnt_from)
    if found is None and data.kind == "sample":
        found = _fit_quick(challenge, data, network, recipe or "quick", runs, learnt_from, progress)
    if found is None:
        raise no_weights(challenge, network.name, data, learnt_from)
    return found, "trained"


def _refuse_planned(model: str, challenge: Challenge, inference: Inference, weights: str | Path) -> None:
    """Refuse what a framework decides by its plan, and slides, which it would read whole.

    Raises:
        MedbenchError: ``inference.planned``, ``weights.planned`` or ``model.slides``.
    """
    if challenge.card.slide_settings is not None or inference.stitch:
        raise MedbenchError(
            "model.slides",
            f"{model} predicts whole pictures only, neither slides nor stitched patches.",
            "Choose another model; 'medbench models' lists them.",
        )
    for flag in ("batch_size", "image_size", "precision"):
        if getattr(inference, flag) != getattr(Inference(), flag):
            raise MedbenchError(
                "inference.planned",
                f"{model} takes its {flag.replace('_', ' ')} from its plan.",
                f"Leave --{flag.replace('_', '-')} out.",
            )
    if str(weights) == "none":
        raise MedbenchError(
            "weights.planned",
            f"{model} has no network before it has planned one.",
            f"Train first (medbench train -m {model} …), or give --weights.",
        )


def _refuse_leak(challenge: Challenge, learnt_from: str, split: str, what: str) -> None:
    """Refuse to predict a split that shares cases with the one learnt from.

    Raises:
        MedbenchError: ``weights.leak``.
    """
    if not challenge.release.overlap(learnt_from, split):
        return
    other = challenge.release.training_split_of(split)
    apart = [
        name
        for name in challenge.release.splits
        if name != other and not challenge.release.overlap(learnt_from, name)
    ]
    if not challenge.release.overlap(other, split):
        hint = f"Train with --split {other}."
    elif apart:
        hint = f"Every training split shares cases with {split}: predict {' or '.join(apart)} instead."
    else:
        hint = f"Train with --split {other}, and predict a split apart from it."
    raise MedbenchError(
        "weights.leak", f"{what} the split {learnt_from}, which shares cases with {split}.", hint
    )


def fit_to_weights(network: NetworkPlan, weights: Path | None) -> tuple[NetworkPlan, dict[str, Any]]:
    """The network with the options that its weights were trained with, and the facts of their training.

    Raises:
        MedbenchError: ``weights.other_model``, or as :func:`medbench.inference.weights.load_checkpoint`.
    """
    if weights is None:
        return network, {}
    from medbench.inference.weights import load_checkpoint

    facts = load_checkpoint(weights).facts
    if facts and facts.get("model") != network.name:
        raise MedbenchError(
            "weights.other_model",
            f"{weights}: these are weights of {facts.get('model')}, not of {network.name}.",
            f"Use -m {facts.get('model')}.",
        )
    options = {**facts.get("options", {}), **network.options}
    return dataclasses.replace(network, options=options), facts


def _fit_quick(
    challenge: Challenge,
    data: Data,
    network: NetworkPlan,
    recipe: str,
    runs: Path,
    split: str,
    progress: Progress,
) -> Path:
    from medbench.training.fit import Hardware

    settings = recipe_for(challenge, network, recipe)
    progress.say(
        f"No weights given: fitting {network.name} to the synthetic sample by the '{recipe}' recipe "
        f"({settings.describe(network.entry.spatial_dims)}). "
        "Its scores say nothing about real data."
    )
    plan = plan_training(challenge, data, network, settings, runs, split)
    return train_planned(plan, Hardware(devices=1), progress)


def repeat_command(job: Job, data: str | Path | None, weights: str | Path) -> str:
    """The command that repeats a run."""
    arguments = ["medbench", "run", "-m", job.network.name, "-c", job.challenge.name, "--split", job.split]
    arguments += ["--data", str(data)] if data is not None else []
    arguments += ["--weights", str(weights)]
    if job.weights_kind == "trained" and job.facts:
        arguments += ["--recipe", job.facts["recipe"]["name"]]
    for name, value in job.network.options.items():
        arguments += ["--set", f"{name}={json.dumps(value)}"]
    for flag in ("device", "precision", "batch_size", "image_size", "overlap"):
        value = getattr(job.inference, flag)
        if value is not None and value != getattr(Inference(), flag):
            arguments += [f"--{flag.replace('_', '-')}", str(value)]
    if job.inference.mirror is not None:
        arguments.append("--mirror" if job.inference.mirror else "--no-mirror")
    arguments += ["--modalities", ",".join(job.modalities)] if job.modalities else []
    for name, setting in job.inference.tiling.items():
        arguments += ["--tiling", f"{name}={setting}"]
    arguments += ["--stitch"] if job.inference.stitch else []
    return shlex.join(arguments)
