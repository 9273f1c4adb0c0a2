"""The cells of a study: one model by one recipe with one seed on one fold of one data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file, sha256_json
from medbench.core.plugins import load_plugin
from medbench.io.gate.listing import visible_paths
from medbench.running.networks import NetworkPlan, recipe_for
from medbench.running.request import Request
from medbench.running.weights import refuse_leak
from medbench.studies.declaration import DataSet, Entrant, Study
from medbench.training.recipes import Recipe
from medbench.training.sequence_recipe import SequenceRecipe

ID_LENGTH = 16


class Entry(NamedTuple):
    """What a board ranks: a model by a recipe, over all seeds.

    Attributes:
        model: name of the model.
        variant: its name on the board, or its options, start and frozen parts; may be empty.
        recipe: name of the recipe; empty where nothing is trained.
    """

    model: str
    variant: str
    recipe: str

    @property
    def title(self) -> str:
        """The entry in words."""
        variant = f" {self.variant}" if self.variant else ""
        return f"{self.model}{variant}{f' ({self.recipe})' if self.recipe else ''}"


class PopulationKey(NamedTuple):
    """What a table of a board is about.

    Attributes:
        challenge: name of the data set.
        fold: split to predict.
        training: split to learn from, where the study names it.
    """

    challenge: str
    fold: str
    training: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: names, numbers and paths alone, so that it travels to any machine that sees the same files.

    Attributes:
        challenge: name of the challenge.
        folder: of the data; found as by ``medbench run`` if ``None``.
        fold: split to predict.
        model: name of the model.
        options: of the model.
        weights: file of weights that are not trained here.
        weights_sha256: hash of that file.
        recipe: name of the recipe; empty where nothing is trained.
        candidates: settings of the recipe, the budget included; the best of several on held-out training
            cases is taken.
        seed: of the training.
        start: file of weights that the training starts from.
        start_sha256: hash of that file.
        frozen: parts of the network that keep these weights.
        training_split: split to learn from; empty for the one that goes with the fold.
        name: of the model on the board; empty for its options.
    """

    challenge: str
    folder: Path | None
    fold: str
    model: str
    options: Mapping[str, Any]
    weights: Path | None
    weights_sha256: str | None
    recipe: str
    candidates: tuple[Mapping[str, Any], ...]
    seed: int
    start: Path | None = None
    start_sha256: str | None = None
    frozen: tuple[str, ...] = ()
    training_split: str = ""
    name: str = ""

    def facts(self) -> dict[str, Any]:
        """Everything that decides the cell's result, save the data's bytes and without paths of a machine."""
        optional = {
            "start_sha256": self.start_sha256,
            "frozen": list(self.frozen),
            "training_split": self.training_split,
            "name": self.name,
        }
        return {
            **{name: value for name, value in optional.items() if value},
            "challenge": self.challenge,
            "fold": self.fold,
            "model": self.model,
            "options": dict(self.options),
            "weights_sha256": self.weights_sha256,
            "recipe": self.recipe,
            "candidates": [dict(entry) for entry in self.candidates],
            "seed": self.seed,
        }

    @staticmethod
    def of_facts(facts: Mapping[str, Any]) -> Cell:
        """A cell without paths, to be looked at but not done."""
        lists = {name: tuple(facts.get(name, ())) for name in ("candidates", "frozen")}
        return Cell(**{**facts, **lists, "folder": None, "weights": None})

    @property
    def id(self) -> str:
        """Beginning of the hash of :meth:`facts`."""
        return sha256_json(self.facts())[:ID_LENGTH]

    @property
    def entry(self) -> Entry:
        """Entry of the board's ranking."""
        parts = [f"{name}={value}" for name, value in self.options.items()]
        parts += [f"from {self.start_sha256[:8]}"] if self.start_sha256 else []
        parts += [f"frozen: {', '.join(self.frozen)}"] if self.frozen else []
        return Entry(self.model, self.name or ", ".join(parts), self.recipe)

    @property
    def population(self) -> PopulationKey:
        """The table that the cell stands in."""
        return PopulationKey(self.challenge, self.fold, self.training_split)

    @property
    def title(self) -> str:
        """The cell in words."""
        settings = self.entry.variant
        model = f"{self.model} ({settings})" if settings else self.model
        training = f"{self.recipe}, seed {self.seed}" if self.recipe else "as it is"
        source = f", from {self.training_split}" if self.training_split else ""
        return f"{self.challenge} {self.fold}{source}, {model}, {training}"

    def request(self, **keywords: Any) -> Request:
        """The request that predicts and scores the cell."""
        return Request.of(
            self.model,
            self.challenge,
            data=self.folder,
            split=self.fold,
            options=dict(self.options),
            seed=self.seed,
            **keywords,
        )


def study_cells(study: Study) -> list[Cell]:
    """All cells of a study in a fixed order, checked before any data are drawn or a network is built.

    Raises:
        MedbenchError: for unknown names, models that do not serve a data set, budgets that a recipe does not
            have; ``study.test_selection`` or ``weights.leak`` where test cases would choose or teach.
    """
    for path in study.plugins:
        load_plugin(path)
    try:
        cells = [
            cell for data in study.data for entrant in study.models for cell in _cells(study, data, entrant)
        ]
    except MedbenchError as error:
        if error.message.startswith(str(study.path)):
            raise
        raise MedbenchError(error.code, f"{study.path}: {error.message}", error.hint) from error
    places: set[Any] = set()
    for twin in cells:
        place = (twin.population, twin.entry, twin.seed)
        if place not in places:
            places.add(place)
            continue
        raise MedbenchError(
            "study.value",
            f"{study.path}: names {twin.title} twice.",
            "Name each data set and model once, or give models a name each.",
        )
    return cells


def _cells(study: Study, data: DataSet, entrant: Entrant) -> Iterator[Cell]:
    challenge = load_challenge(data.challenge)
    for split in (*data.folds, *data.training):
        challenge.release.check_split(split)
    default = challenge.release.default_split
    folds = data.folds or tuple(challenge.release.parts(default)) or (default,)
    request = Request.of(entrant.model, data.challenge, options=dict(entrant.options))
    network = request.plan().network
    needs_training = network.entry.learns and entrant.weights is None
    own = Cell(
        data.challenge,
        data.folder,
        "",
        entrant.model,
        entrant.options,
        entrant.weights,
        _hash(entrant.weights),
        "",
        ({},),
        study.seeds[0],
        name=entrant.name,
    )
    if needs_training and (entrant.start is not None or entrant.frozen):
        own = _started(own, entrant)
    for fold in folds:
        _refuse_marked(study, challenge, fold)
        if fold in data.training:
            raise MedbenchError(
                "study.test_selection",
                f"{study.path}: {fold} of {challenge.title} would be learnt from and predicted.",
                "Name training splits that share no cases with a fold.",
            )
        for training in data.training or ("",):
            place = dataclasses.replace(own, fold=fold, training_split=training)
            if not needs_training:
                yield place
                continue
            source_split = training or challenge.release.training_split_of(fold)
            refuse_leak(challenge, source_split, fold, f"{study.path}: weights would be learnt from")
            for recipe in study.recipes:
                candidates = _candidates(study, challenge, network, recipe)
                for seed in study.seeds:
                    yield dataclasses.replace(place, recipe=recipe, candidates=candidates, seed=seed)


def _refuse_marked(study: Study, challenge: Challenge, fold: str) -> None:
    facts = challenge.release.split_facts(fold)
    if facts is not None and facts.mark:
        raise MedbenchError(
            "study.never_ranked",
            f"{study.path}: {fold} of {challenge.title} is never ranked: {facts.mark}.",
            "A study ends with a ranking: name another fold.",
        )


def _started(cell: Cell, entrant: Entrant) -> Cell:
    """The cell with the start of its trainings, which is matched with the network.

    Raises:
        MedbenchError: as :func:`medbench.running.train.outline_training`.
    """
    from medbench.running.train import outline_training
    from medbench.training.result_files import WEIGHTS

    start = entrant.start
    if start is not None and (start / WEIGHTS).is_file():
        start = start / WEIGHTS
    outline_training(
        cell.model, cell.challenge, options=dict(cell.options), init=start, freeze=list(entrant.frozen)
    )
    return dataclasses.replace(cell, start=start, start_sha256=_hash(start), frozen=entrant.frozen)


def _hash(weights: Path | None) -> str | None:
    """Hash of a file of weights, or of the files of a folder of weights."""
    if weights is None:
        return None
    if weights.is_file():
        return sha256_file(weights)
    files = [path for path in visible_paths(weights, "**/*") if path.is_file()]
    return sha256_json({path.relative_to(weights).as_posix(): sha256_file(path) for path in files})


def _candidates(
    study: Study, challenge: Challenge, network: NetworkPlan, recipe: str
) -> tuple[Mapping[str, Any], ...]:
    """The recipe's settings to try, with the budget."""
    plain = recipe_for(challenge, network, recipe)
    candidates = []
    for settings in study.candidates:
        changes = {**settings, **budget_changes(study, plain)}
        validation = getattr(recipe_for(challenge, network, recipe, changes), "validation", "by_group")
        if validation == "test_split":
            raise MedbenchError(
                "study.test_selection",
                f"{study.path}: the recipe {recipe} of {network.name} keeps the epoch that is best on the "
                "test cases.",
                "Take a recipe whose validation is by_group or none.",
            )
        if validation == "none" and len(study.candidates) > 1:
            raise MedbenchError(
                "study.test_selection",
                f"{study.path}: the recipe {recipe} of {network.name} holds no training cases out, so "
                "nothing but the test cases could choose its settings.",
                'Add validation = ["by_group"] to [search], or leave [search] out.',
            )
        candidates.append(changes)
    return tuple(candidates)


def budget_changes(study: Study, recipe: Any) -> dict[str, Any]:
    """The settings of a recipe that give it the study's budget; none for a fit that makes no steps.

    Raises:
        MedbenchError: ``study.budget`` where the recipe knows no such length.
    """
    unit, amount = study.budget.unit, study.budget.amount
    if not hasattr(recipe, "epochs"):
        return {}
    if unit == "epochs":
        return {"epochs": int(amount)}
    if isinstance(recipe, Recipe):
        return {"max_steps": int(amount)} if unit == "steps" else {"max_minutes": float(amount)}
    if unit == "steps" and isinstance(recipe, SequenceRecipe):
        return {"epochs": 1, "least_steps": int(amount)}
    if unit == "steps" and hasattr(recipe, "steps"):
        return {"epochs": 1, "steps": int(amount)}
    raise MedbenchError(
        "study.budget",
        f"{study.path}: the recipe {recipe.name} has no length in {unit}.",
        "Give the budget in epochs.",
    )


def quick_changes(recipe: Any) -> dict[str, Any]:
    """Settings of a recipe for a training of one or two steps."""
    shortest: Mapping[str, Any] = {"epochs": 1} if hasattr(recipe, "epochs") else {"examples": 2}
    if isinstance(recipe, Recipe):
        shortest = {
            "max_steps": 1,
            "max_minutes": 0.0,
            "batch_size": min(2, recipe.batch_size),
            "validation": "none",
        }
    elif isinstance(recipe, SequenceRecipe):
        shortest = {"epochs": 1, "least_steps": 0, "validation": "none"}
    elif hasattr(recipe, "steps"):
        shortest = {"epochs": 1, "steps": 1, "validation_steps": 1}
    return dict(shortest)
