"""A network on cases of a challenge: what a request comes to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.case import Case, Data
from medbench.core.progress import Progress
from medbench.core.sample import AnySample
from medbench.core.slides import SlideSettings
from medbench.inference.predictor import Predictor
from medbench.running.data import choose_cases, resolve_data
from medbench.running.networks import NetworkPlan
from medbench.running.request import Request
from medbench.running.setup import Setup
from medbench.running.weights import choose_weights, refuse_leak


@dataclass(frozen=True, slots=True)
class Job:
    """A setup on cases.

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
    def slide_settings(self) -> SlideSettings | None:
        """How slides are predicted, if the cases are slides."""
        return self.setup.slide_settings

    def settings(self) -> dict[str, Any]:
        """What of the inference decides the result, and which cases are predicted."""
        return {**self.setup.settings(), "cases": self.request.cases}

    def read(self, case: Case) -> AnySample:
        """What the network may see of a case.

        Raises:
            MedbenchError: as :meth:`Setup.read`.
        """
        return self.setup.read(case)

    def predictor(self, work: Path | None = None, progress: Progress | None = None) -> Predictor:
        """What answers the cases.

        Args:
            work: as for :meth:`Setup.predictor`.
            progress: as for :meth:`Setup.predictor`.

        Raises:
            MedbenchError: as :meth:`Setup.predictor`.
        """
        patches = self.challenge.cases(self.data.root, self.split) if self.request.inference.stitch else ()
        return self.setup.predictor(work, progress, patches)


def resolve(request: Request, progress: Progress) -> Job:
    """Find data, cases and weights of a request; on the sample, weights that are missing are fitted now.

    Raises:
        MedbenchError: for unknown names, settings that do not fit, missing data or missing weights.
    """
    plan = request.plan()
    request, challenge = plan.request, plan.challenge
    split = str(request.split)
    data = resolve_data(challenge, request.data, progress)
    cases = choose_cases(challenge.cases(data.root, split), request.cases)
    weights = choose_weights(plan, data, progress)
    setup = Setup.of(plan, weights)
    if weights.facts.get("challenge") == challenge.name:
        refuse_leak(challenge, weights.facts["split"], split, f"{weights.path}: learnt from")
    recipe = weights.facts["recipe"]["name"] if weights.kind == "trained" else request.recipe
    request = dataclasses.replace(request, options=setup.network.options, recipe=recipe)
    return Job(request, setup, data, cases)
