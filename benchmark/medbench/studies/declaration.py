"""Study files: data sets, models, recipes, seeds, folds and one budget for all."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import read_toml
from medbench.core.folders import at_home
from medbench.core.registry import unknown_name

ALL_FOLDS = "all"
VALIDATION = "validation"
_BUDGETS = {"epochs": int, "steps": int, "minutes": float}
_NAMES = ("title", "data", "models", "recipes", "seeds", "budget", "search", "plugins")
_DATA_NAMES = ("challenge", "folder", "folds", "training")
_MODEL_NAMES = ("model", "set", "weights", "init", "freeze", "name")


@dataclass(frozen=True, slots=True)
class DataSet:
    """A challenge, the folder of its data, and the splits that are predicted.

    Attributes:
        challenge: its name.
        folder: of the data; found as by ``medbench run`` if ``None``.
        folds: splits to predict, each by networks that learnt from its own training split; empty for the
            challenge's default, or for every part of it where it has parts.
        training: splits to learn from, a table each, such as fractions of the training cases; empty for the
            one that goes with the fold.
    """

    challenge: str
    folder: Path | None = None
    folds: tuple[str, ...] = ()
    training: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model with its options.

    Attributes:
        model: its name.
        options: that differ from the defaults.
        weights: file of weights, where it is not trained.
        start: file, or folder of a training or pre-training, whose weights its trainings start from.
        frozen: parts of the network that keep these weights.
        name: on the board, in place of options and start.
    """

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    start: Path | None = None
    frozen: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """The length of every training: ``epochs``, ``steps`` or ``minutes``, and how many."""

    unit: str
    amount: float

    def __str__(self) -> str:
        unit = self.unit if self.amount != 1 else self.unit.removesuffix("s")
        return f"{self.amount:g} {unit}"


@dataclass(frozen=True, slots=True)
class Study:
    """A study as its file declares it.

    Attributes:
        path: the file.
        title: heading of the board.
        data: data sets.
        models: models.
        recipes: names of recipes; every model is on the board once a recipe.
        seeds: of the trainings.
        budget: of every training.
        candidates: settings of a recipe that are tried; the best on the held-out part of the training cases
            is taken. One empty entry where nothing is chosen.
        plugins: Python files that register models, challenges …
    """

    path: Path
    title: str
    data: tuple[DataSet, ...]
    models: tuple[Entrant, ...]
    recipes: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: Budget
    candidates: tuple[Mapping[str, Any], ...] = ({},)
    plugins: tuple[Path, ...] = ()


def read_study(path: Path) -> Study:
    """The study of a TOML file; its relative paths start at the file's folder.

    Raises:
        MedbenchError: ``study.missing`` for a file that is not there, itself or one that it names;
            ``study.syntax``, ``study.option``, ``study.value``, ``study.budget`` or
            ``study.test_selection``.
    """
    try:
        table = read_toml(path)
    except OSError as error:
        raise MedbenchError(
            "study.missing", f"{path}: cannot be read ({error.strerror}).", "Check the study's path."
        ) from error
    except ValueError as error:
        raise MedbenchError(
            "study.syntax", f"{path}: is no TOML ({error}).", "Write one entry a line, e.g. seeds = [0, 1]."
        ) from error
    _check_names(path, "entry", table, _NAMES)
    for name in ("data", "models", "budget"):
        if not table.get(name):
            raise _value(path, f"{name} is missing", "A study needs data, models and a budget.")
    study = Study(
        path,
        _text(path, "title", table.get("title", path.stem)),
        tuple(_data_set(path, entry) for entry in _list(path, "data", table["data"])),
        tuple(_entrant(path, entry) for entry in _list(path, "models", table["models"])),
        tuple(
            _text(path, "recipes", name) for name in _list(path, "recipes", table.get("recipes", ["default"]))
        ),
        tuple(_seed(path, seed) for seed in _list(path, "seeds", table.get("seeds", [0]))),
        _budget(path, table["budget"]),
        _candidates(path, table.get("search")),
        tuple(_file(path, name) for name in _list(path, "plugins", table.get("plugins", []))),
    )
    for name, entries in (("seeds", study.seeds), ("recipes", study.recipes)):
        if len(set(entries)) < len(entries):
            raise _value(path, f"{name} names one twice", "Name each once.")
    return study


def _value(path: Path, what: str, hint: str) -> MedbenchError:
    return MedbenchError("study.value", f"{path}: {what}.", hint)


def _check_names(path: Path, kind: str, table: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in table:
        if name not in names:
            error = unknown_name(kind, name, names)
            raise MedbenchError("study.option", f"{path}: {error.message}", error.hint)


def _list(path: Path, name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _value(path, f"{name} is no list", f"Write {name} = [ … ], or [[{name}]] tables.")
    return value


def _text(path: Path, name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _value(path, f"{name} holds {value!r}, which is no name", f"Write {name} in quotes.")
    return value


def _seed(path: Path, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise _value(
            path, f"the seed {value!r} is no whole number from 0 on", "For example seeds = [0, 1, 2]."
        )
    return value


def _file(path: Path, name: Any, folder: bool = False) -> Path:
    """A file or folder that the study names, which is there."""
    place = (path.parent / at_home(_text(path, "a path", name))).resolve()
    if not (place.is_dir() if folder else place.exists()):
        kind = "folder" if folder else "file"
        raise MedbenchError(
            "study.missing",
            f"{path}: names {name}, and there is no such {kind}.",
            f"Paths start at {path.resolve().parent}. Nothing was started.",
        )
    return place


def _data_set(path: Path, entry: Any) -> DataSet:
    if isinstance(entry, str):
        return DataSet(entry)
    if not isinstance(entry, dict):
        raise _value(
            path, f"data holds {entry!r}", 'Give a challenge\'s name, or challenge = "…" in a table.'
        )
    _check_names(path, "entry of data", entry, _DATA_NAMES)
    folder = _file(path, entry["folder"], folder=True) if "folder" in entry else None
    folds = entry.get("folds", [])
    folds = [] if folds == ALL_FOLDS else _list(path, "folds", folds)
    return DataSet(
        _text(path, "challenge", entry.get("challenge")),
        folder,
        tuple(_text(path, "folds", fold) for fold in folds),
        tuple(_text(path, "training", split) for split in _list(path, "training", entry.get("training", []))),
    )


def _entrant(path: Path, entry: Any) -> Entrant:
    if isinstance(entry, str):
        return Entrant(entry)
    if not isinstance(entry, dict):
        raise _value(path, f"models holds {entry!r}", 'Give a model\'s name, or model = "…" in a table.')
    _check_names(path, "entry of models", entry, _MODEL_NAMES)
    options = entry.get("set", {})
    if not isinstance(options, dict):
        raise _value(path, "set is no table", "For example set = {width = 32}.")
    weights, start = (_file(path, entry[name]) if name in entry else None for name in ("weights", "init"))
    still_parts = tuple(
        _text(path, "freeze", part) for part in _list(path, "freeze", entry.get("freeze", []))
    )
    if weights is not None and (start is not None or still_parts):
        raise _value(
            path, "a model has weights and init or freeze", "What is not trained starts from nothing."
        )
    name = _text(path, "name", entry["name"]) if "name" in entry else ""
    return Entrant(_text(path, "model", entry.get("model")), options, weights, start, still_parts, name)


def _budget(path: Path, table: Any) -> Budget:
    hint = (
        "Give one of epochs, steps and minutes, the same for all models: [budget] and below it epochs = 20."
    )
    if not isinstance(table, dict) or len(table) != 1:
        raise MedbenchError("study.budget", f"{path}: the budget is not one number.", hint)
    unit, amount = next(iter(table.items()))
    if unit not in _BUDGETS:
        close = unknown_name("budget", str(unit), _BUDGETS).hint
        raise MedbenchError("study.budget", f"{path}: [budget] has no key '{unit}'.", f"{close} {hint}")
    numbers = (int, float) if _BUDGETS[unit] is float else (int,)
    if type(amount) not in numbers or amount <= 0:
        raise MedbenchError("study.budget", f"{path}: {unit} = {amount!r} is no length of a training.", hint)
    return Budget(unit, amount)


def _candidates(path: Path, table: Any) -> tuple[Mapping[str, Any], ...]:
    """Combinations of the settings of ``[search]``.

    Raises:
        MedbenchError: ``study.test_selection`` unless they are chosen on the held-out training cases.
    """
    if table is None:
        return ({},)
    if not isinstance(table, dict):
        raise _value(path, "search is no table", "Write [search] and below it settings with their values.")
    where = table.get("on")
    if where != VALIDATION:
        raise MedbenchError(
            "study.test_selection",
            f"{path}: settings would be chosen on {where or 'no named cases'}, and a score on cases that "
            "chose the settings says nothing about new ones.",
            f'Write on = "{VALIDATION}" in [search]: the part of the training cases that training holds out.',
        )
    settings = {name: _list(path, name, values) for name, values in table.items() if name != "on"}
    if "seed" in settings:
        raise _value(path, "a seed is no setting to choose", "Name seeds in seeds.")
    if not settings or not all(settings.values()):
        raise _value(path, "search has no settings", "For example learning_rate = [1e-3, 1e-4].")
    combinations = itertools.product(*settings.values())
    return tuple(dict(zip(settings, values, strict=True)) for values in combinations)
