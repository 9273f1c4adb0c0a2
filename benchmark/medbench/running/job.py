"""Jobs: a setup on cases of a challenge, resolved from a request."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.case import Case, Data
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_json
from medbench.core.places import Places
from medbench.core.progress import Progress
from medbench.core.sample import AnySample
from medbench.core.slides import SlideSettings
from medbench.core.text import printable
from medbench.inference.folds import FoldedPredictor
from medbench.inference.predictor import Predictor
from medbench.records.schema import ModelRecord
from medbench.running.data import choose_cases, resolve_data
from medbench.running.networks import NetworkPlan
from medbench.running.request import Request, RunPlan
from medbench.running.retraining import how_trained, took
from medbench.running.setup import Setup
from medbench.running.start import split_start
from medbench.running.train import try_options
from medbench.running.weights import Weights, choose_weights, given_weights, refuse_leak


@dataclass(frozen=True, slots=True)
class Job:
    """A setup on the cases of a split.

    Attributes:
        request: with everything that was left open: split, recipe and options of the weights.
        setup: network, weights and inference.
        data: where the cases lie.
        cases: those to predict.
    """

    request: Request
    setup: Setup
    data: Data
    cases: Sequence[Case]

    @property
    def challenge(self) -> Challenge:
        """The challenge."""
        return self.setup.challenge

    @property
    def network(self) -> NetworkPlan:
        """The model with its options."""
        return self.setup.network

    @property
    def split(self) -> str:
        """The split that the cases are of."""
        return str(self.request.split)

    @property
    def weights(self) -> Path | None:
        """The file of the weights."""
        return self.setup.weights.path

    @property
    def weights_sha256(self) -> str | None:
        """SHA-256 of the weights; ``None`` for fresh ones."""
        return self.setup.weights.sha256

    def model_record(self, places: Places) -> ModelRecord:
        """The record's facts of the network that predicts, without paths of this machine."""
        network, weights = self.network, self.setup.weights
        return ModelRecord(
            name=network.name,
            title=printable(network.entry.title),
            options=places.hide_all(network.options),
            parameters=self.setup.count_parameters(),
            weights=weights.kind,
            weights_sha256=weights.sha256,
            untrained_parts=self.setup.untrained_parts(),
            training=places.hide_all(
                {**weights.facts, **how_trained(network, weights.facts), **took(weights.cpu_minutes)}
            )
            or None,
        )

    @property
    def slide_settings(self) -> SlideSettings | None:
        """How slides are predicted, if the cases are slides."""
        return self.setup.slide_settings

    def settings(self) -> dict[str, Any]:
        """Settings of the inference that decide the result, and the pattern of cases."""
        return {**self.setup.settings(), "cases": self.request.cases}

    def read(self, case: Case) -> AnySample:
        """The sample of a case: the images or features that the network may see.

        Raises:
            MedbenchError: as :meth:`Setup.read`.
        """
        return self.setup.read(case)

    def predictor(self, work: Path | None = None, progress: Progress | None = None) -> Predictor:
        """The predictor of the cases.

        Args:
            work: as for :meth:`Setup.predictor`.
            progress: as for :meth:`Setup.predictor`.

        Raises:
            MedbenchError: as :meth:`Setup.predictor`.
        """
        patches = self.challenge.cases(self.data.root, self.split) if self.request.inference.stitch else ()
        return self.setup.predictor(work, progress, patches)


@dataclass(frozen=True, slots=True)
class FoldedJob:
    """Networks on the parts of a split, each part predicted by those that learnt from its training split.

    Attributes:
        request: with everything that was left open.
        setups: part of the split -> setups of its networks, one a repeat.
        data: where the cases lie.
        cases: those to predict.
    """

    request: Request
    setups: Mapping[str, Sequence[Setup]]
    data: Data
    cases: Sequence[Case]

    @property
    def setup(self) -> Setup:
        """The setup of the first network."""
        return next(iter(self.setups.values()))[0]

    @property
    def challenge(self) -> Challenge:
        """The challenge."""
        return self.setup.challenge

    @property
    def network(self) -> NetworkPlan:
        """The model with its options."""
        return self.setup.network

    @property
    def split(self) -> str:
        """The split that the cases are of."""
        return str(self.request.split)

    @property
    def weights_sha256(self) -> str | None:
        """SHA-256 over those of all networks; ``None`` for fresh ones."""
        digests = [setup.weights.sha256 for setup in self._all]
        return sha256_json(digests) if all(digests) else None

    @property
    def _all(self) -> list[Setup]:
        return [setup for setups in self.setups.values() for setup in setups]

    def settings(self) -> dict[str, Any]:
        """Settings of the inference that decide the result, pattern of cases, number of networks."""
        networks = {"networks": len(self._all), "repeats": self.request.repeats}
        return {**self.setup.settings(), **networks, "cases": self.request.cases}

    def read(self, case: Case) -> AnySample:
        """The sample of a case: the images or features that the networks may see.

        Raises:
            MedbenchError: as :meth:`Setup.read`.
        """
        return self.setup.read(case)

    def predictor(self, work: Path | None = None, progress: Progress | None = None) -> Predictor:
        """The predictor of the cases, each by the networks of its part.

        Raises:
            MedbenchError: as :meth:`Setup.predictor`.
        """
        return FoldedPredictor(
            {
                part: [setup.predictor(work, progress) for setup in setups]
                for part, setups in self.setups.items()
            }
        )

    def model_record(self, places: Places) -> ModelRecord:
        """The record's facts of the networks: those in common, and each one's split, seed and weights."""
        facts = self.setup.weights.facts
        common = {
            name: value for name, value in facts.items() if name not in ("split", "manifest_sha256", "seed")
        }
        each = [
            {
                "part": part,
                "split": setup.weights.facts.get("split"),
                "seed": setup.weights.facts.get("seed"),
                "weights_sha256": setup.weights.sha256,
                "validation_score": setup.weights.facts.get("validation_score"),
            }
            for part, setups in self.setups.items()
            for setup in setups
        ]
        folds = {"split": self.split} if self.challenge.release.parts(self.split) else {}
        minutes = [own for setup in self._all for own in setup.weights.cpu_minutes]
        how = how_trained(self.network, {**common, **folds})
        return ModelRecord(
            name=self.network.name,
            title=printable(self.network.entry.title),
            options=places.hide_all(self.network.options),
            parameters=self.setup.count_parameters(),
            weights=self.setup.weights.kind,
            weights_sha256=self.weights_sha256,
            untrained_parts=self.setup.untrained_parts(),
            training=places.hide_all({**common, **how, **took(minutes), "networks": each}) if facts else None,
        )


def resolve(request: Request, progress: Progress) -> Job | FoldedJob:
    """Find data, cases and weights of a request; on the sample, weights that are missing are fitted now.

    Raises:
        MedbenchError: for unknown names, settings that do not fit, missing data or missing weights.
    """
    plan = request.plan()
    request, challenge = plan.request, plan.challenge
    split = str(request.split)
    request_weights = given_weights(plan)
    if request_weights is not None:
        Setup.of(plan, request_weights)
    elif own := split_start(plan.network.options)[0]:
        try_options(dataclasses.replace(plan.network, options=own))
    data = resolve_data(challenge, request.data, progress)
    cases = choose_cases(challenge.cases(data.root, split), request.cases)
    parts = challenge.release.parts(split)
    if not parts and request.repeats == 1:
        setup = _fitted(plan, request_weights or choose_weights(plan, data, progress))
        return Job(_completed(request, setup), setup, data, cases)
    folds = {case.id.partition("/")[0] for case in cases}
    setups = {}
    for part in parts or (split,):
        if parts and part not in folds:
            continue
        of_part = dataclasses.replace(plan, request=dataclasses.replace(request, split=part))
        setups[part] = [
            _fitted(of_part, request_weights or choose_weights(of_part, data, progress, repeat), repeat)
            for repeat in range(request.repeats)
        ]
        request = _completed(request, setups[part][0])
    _refuse_mixed(setups)
    first = next(iter(setups.values()))[0]
    return FoldedJob(_completed(request, first), setups, data, cases)


def _refuse_mixed(setups: Mapping[str, Sequence[Setup]]) -> None:
    """Refuse networks that learnt in different ways, which one record would call one model.

    Raises:
        MedbenchError: ``weights.mixed`` with the first setting that differs.
    """
    networks = [
        (part, setup.weights.facts.get("recipe", {})) for part, own in setups.items() for setup in own
    ]
    first_part, first = networks[0]
    for part, recipe in networks[1:]:
        differing = [
            name for name in {**first, **recipe} if name != "seed" and first.get(name) != recipe.get(name)
        ]
        if differing:
            name = differing[0]
            raise MedbenchError(
                "weights.mixed",
                f"The networks of the folds learnt in different ways: {first_part} with "
                f"{name}={first.get(name)}, {part} with {name}={recipe.get(name)}.",
                "Train every fold by one recipe, into a folder of runs of its own (--runs).",
            )


def _fitted(plan: RunPlan, weights: Weights, repeat: int = 0) -> Setup:
    """The setup of a request with weights that fit the network, the labels and the split."""
    request, challenge = plan.request, plan.challenge
    setup = Setup.of(plan, weights)
    if repeat:
        setup = dataclasses.replace(setup, seed=request.seed + repeat)
    if weights.facts.get("challenge") == challenge.name:
        split = str(request.split)
        refuse_leak(challenge, weights.facts["split"], split, f"{weights.path}: learnt from")
    return setup


def _completed(request: Request, setup: Setup) -> Request:
    """The request with the recipe and the options of the weights."""
    weights = setup.weights
    recipe = weights.facts["recipe"]["name"] if weights.kind == "trained" else request.recipe
    return dataclasses.replace(request, options=setup.network.options, recipe=recipe)
