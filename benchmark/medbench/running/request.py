"""Requests: everything a run is asked for, checked before data are drawn or a network is built."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, Unpack

from medbench.challenges import list_challenges, load_challenge
from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.extras import require_package
from medbench.core.folders import at_home, leaderboards_folder, runs_folder
from medbench.core.places import Places, command_line
from medbench.core.plugins import load_plugin, loaded_plugins
from medbench.core.writable import refuse_unwritable
from medbench.inference.weights import no_such_checkpoint
from medbench.models import list_models
from medbench.running.inference_settings import AUTO as AUTO
from medbench.running.inference_settings import Inference as Inference
from medbench.running.inference_settings import check_inference
from medbench.running.modalities import known_modalities
from medbench.running.networks import NetworkPlan, plan_network, recipe_for

NONE = "none"


class CaseKeywords(TypedDict, total=False):
    """Keywords that select cases; see :class:`CaseRequest`."""

    data: str | Path | None
    split: str | None
    cases: str
    seed: int
    runs: str | Path | None


class ScoreKeywords(CaseKeywords, total=False):
    """Keywords of an evaluation; see :class:`CaseRequest`."""

    leaderboards: str | Path | None


class PredictKeywords(CaseKeywords, total=False):
    """Keywords of a prediction; see :class:`Request`."""

    weights: str | Path
    recipe: str | None
    options: Mapping[str, Any] | None
    inference: Inference | None
    repeats: int


class RunKeywords(PredictKeywords, total=False):
    """Keywords of a run; see :class:`Request`."""

    leaderboards: str | Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRequest:
    """Cases of a challenge and the folders of their results.

    Attributes:
        challenge: challenge name.
        data: folder with a real copy; else ``MEDBENCH_DATA/<challenge>``, else the synthetic sample.
        split: name of a split; ``None`` takes the challenge's default, test.
        cases: shell-style pattern of case ids; a part of a split enters no leaderboard.
        seed: seed of fresh weights and of the statistics' resampling.
        runs: folder of run directories.
        leaderboards: folder of leaderboards.
        plugins: Python files that register models, challenges …; ``None`` takes those already loaded.
    """

    challenge: str
    data: Path | None = None
    split: str | None = None
    cases: str = "*"
    seed: int = 0
    runs: Path | None = None
    leaderboards: Path | None = None
    plugins: tuple[Path, ...] = field(default_factory=lambda: tuple(loaded_plugins()))

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise MedbenchError("seed.negative", f"The seed {self.seed} is negative.", "Give 0 or more.")

    @property
    def runs_root(self) -> Path:
        """The folder of run directories."""
        return self.runs or runs_folder()

    @property
    def boards_root(self) -> Path:
        """The folder of leaderboards."""
        return self.leaderboards or leaderboards_folder()

    def check_places(self) -> None:
        """Refuse folders of results that cannot be written, before anything is drawn or computed.

        Raises:
            MedbenchError: ``output.unwritable``.
        """
        refuse_unwritable(self.runs_root, folder=True)
        if self.cases == "*":
            refuse_unwritable(self.boards_root, folder=True)

    def load_challenge(self) -> Challenge:
        """The challenge of the request; plug-ins are loaded first and the split's name is checked.

        Raises:
            MedbenchError: ``plugin.missing``, ``plugin.broken``, ``challenge.unknown`` or ``split.unknown``.
        """
        for path in self.plugins:
            load_plugin(path)
        challenge = load_challenge(self.challenge)
        if self.split is not None:
            challenge.release.check_split(self.split)
        return challenge

    def program(self, for_record: bool = False) -> list[str]:
        """The command without its verb."""
        names = [f"{{plugins}}/{path.name}" if for_record else str(path) for path in self.plugins]
        return ["medbench", *(word for name in names for word in ("--plugin", name))]

    def case_arguments(self, for_record: bool = False) -> list[str]:
        """Command-line options that select these cases."""
        arguments = ["--split", self.split] if self.split else []
        arguments += ["--data", "{data}" if for_record else str(self.data)] if self.data is not None else []
        arguments += ["--cases", self.cases] if self.cases != "*" else []
        return arguments + (["--seed", str(self.seed)] if self.seed else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(CaseRequest):
    """Everything that a run or a prediction is asked for, by command line, Python or a file.

    Attributes:
        model: model name.
        weights: a file, ``auto`` (of the latest training; on the sample fitted now) or ``none``.
        recipe: recipe of the training that ``auto`` takes; on the sample also of the fit now (``quick``).
        options: options of the model.
        inference: device, precision, batch and image size; for volumes also the windows and which modalities
            may be seen. A run on fewer modalities enters no leaderboard.
        repeats: networks that learn with successive seeds and whose scores are averaged case by case, where
            the challenge takes several answers.
    """

    model: str
    weights: str = AUTO
    recipe: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    inference: Inference = field(default_factory=Inference)
    repeats: int = 1

    @classmethod
    def of(cls, model: str, challenge: str, **keywords: Unpack[RunKeywords]) -> Request:
        """A request from Python keywords."""
        return cls(model=model, challenge=challenge, **request_fields(keywords))

    @property
    def weights_file(self) -> Path | None:
        """File or folder of weights; ``None`` for ``auto`` and ``none``."""
        return None if self.weights in (AUTO, NONE) else Path(self.weights)

    def command(self, for_record: bool = False) -> str:
        """The command that repeats the run, with everything that decides its result.

        Args:
            for_record: write ``{data}``, ``{weights}`` … instead of paths of this machine.
        """
        model = self.places().hide(self.model) if for_record else self.model
        arguments = [*self.program(for_record), "run", "-m", model, "-c", self.challenge]
        arguments += ["--device", self.inference.device] if self.inference.device != AUTO else []
        arguments += self.case_arguments(for_record)
        as_place = for_record and self.weights_file is not None
        arguments += ["--weights", "{weights}" if as_place else self.weights]
        arguments += ["--recipe", self.recipe] if self.recipe else []
        options = self.places().hide_all(self.options) if for_record else self.options
        for name, value in options.items():
            arguments += ["--set", f"{name}={json.dumps(value)}"]
        arguments += ["--repeats", str(self.repeats)] if self.repeats != 1 else []
        arguments += self.inference.arguments()
        if self.weights == AUTO and self.runs is not None:
            arguments += ["--runs", "{runs}" if for_record else str(self.runs)]
        return command_line(arguments) if for_record else shlex.join(arguments)

    def places(self, data: Path | None = None) -> Places:
        """The paths of the request by their names, among them those that the model's options give.

        Args:
            data: where the data lie, where the request leaves that open.
        """
        files = {
            name: value
            for name, value in self.options.items()
            if isinstance(value, str) and len(Path(value).parts) > 1 and Path(value).exists()
        }
        places = {"data": data or self.data, "weights": self.weights_file, "runs": self.runs_root}
        return Places.of({**files, **places, "leaderboards": self.boards_root})

    def match(self) -> tuple[Challenge, NetworkPlan]:
        """The challenge and the planned network of the request.

        Raises:
            MedbenchError: for unknown names of challenge, split, model, options or recipe, and for a model
                that does not serve the challenge; ``package.missing`` without torch.
        """
        try:
            challenge = self.load_challenge()
        except MedbenchError as error:
            raise self._swapped(error) from error
        network = plan_network(self.model, challenge, self.options, self.inference.image_size)
        require_package("torch")
        if self.recipe is not None:
            recipe_for(challenge, network, self.recipe)
            self._refuse_recipe(network)
        return challenge, network

    def _refuse_recipe(self, network: NetworkPlan) -> None:
        """Refuse a recipe beside weights that no training is looked for, or where nothing is learnt.

        Raises:
            MedbenchError: ``option.ignored``.
        """
        if not network.entry.learns:
            raise MedbenchError(
                "option.ignored",
                f"--recipe has no effect with {network.name}, which has nothing to learn.",
                "Leave it out.",
            )
        if self.weights != AUTO:
            raise MedbenchError(
                "option.ignored",
                f"--recipe has no effect with --weights {self.weights}.",
                "It says whose weights are taken where none are named: leave one of the two out.",
            )

    def _swapped(self, error: MedbenchError) -> MedbenchError:
        """The error for a model in the place of the challenge; the very error where that is not the fault."""
        if error.code != "challenge.unknown" or self.challenge not in list_models():
            return error
        other = self.model if self.model in list_challenges() else "CHALLENGE"
        return MedbenchError(
            "challenge.unknown",
            f"{self.challenge} is a model, not a challenge.",
            f"Give it by --model: -m {self.challenge} -c {other}.",
        )

    def plan(self) -> RunPlan:
        """The checked request; the check reads no data and builds no network.

        Raises:
            MedbenchError: as :meth:`match`, :func:`check_inference` and :meth:`Inference.on_this_machine`;
                ``weights.missing``, ``weights.planned``, or for unknown modalities.
        """
        challenge, network = self.match()
        check_inference(challenge, network, self.inference)
        if self.repeats < 1 or (self.repeats > 1 and not challenge.exchange.several_answers):
            raise MedbenchError(
                "request.repeats",
                f"{self.repeats} repeats: {challenge.title} takes one answer a case.",
                "Run once a seed, and compare the runs.",
            )
        if self.weights == NONE and network.framework is not None:
            raise MedbenchError(
                "weights.planned",
                f"{self.model} has no network before it has planned one.",
                f"Train first (medbench train -m {self.model} …), or give --weights.",
            )
        if self.weights_file is not None and not network.entry.learns:
            own = "brings its own weights" if network.entry.local else "has no weights to load"
            raise MedbenchError("weights.not_taken", f"{network.name}: {own}.", "Leave --weights out.")
        if self.weights_file is not None and not self.weights_file.exists():
            raise no_such_checkpoint(self.weights_file, (AUTO, NONE))
        names = self.inference.modalities
        modalities = None if names is None else known_modalities(challenge, names)
        request = dataclasses.replace(
            self,
            split=self.split or challenge.release.default_split,
            inference=dataclasses.replace(self.inference.on_this_machine(), modalities=modalities),
        )
        return RunPlan(request, challenge, network)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A checked request: its names are registered, its settings fit together; nothing is read or built yet.

    Attributes:
        request: with its split, and with modalities by the challenge's own names.
        challenge: the challenge.
        network: the model with its options.
    """

    request: Request
    challenge: Challenge
    network: NetworkPlan


def request_fields(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a request from Python keywords: paths as :class:`Path`, absent values as their defaults."""
    fields = dict(keywords)
    for name in ("data", "runs", "leaderboards"):
        if fields.get(name) is not None:
            fields[name] = at_home(fields[name])
    if "weights" in fields:
        fields["weights"] = os.path.expanduser(str(fields["weights"]))
    if "options" in fields:
        fields["options"] = dict(fields["options"] or {})
    if "inference" in fields:
        fields["inference"] = fields["inference"] or Inference()
    return fields
