"""Predictions of a project file: ``[predictions.NAME]`` with their folder, challenge and title."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.folders import at_home
from medbench.core.project import current_project
from medbench.core.registry import unknown_name

_ENTRIES = ("folder", "title", "challenge", "rename")


@dataclass(frozen=True, slots=True)
class NamedPredictions:
    """Declared predictions.

    Attributes:
        name: of the declaration.
        folder: the folder, or a zip of it.
        title: what tables call them.
        challenge: whose cases they answer; empty where it is not declared.
        rename: ``(old, new)`` of file names, as for ``--rename``; ``None`` where they need none.
    """

    name: str
    folder: Path
    title: str
    challenge: str = ""
    rename: tuple[str, str] | None = None


def named_predictions(name: str) -> NamedPredictions | None:
    """The predictions that the project declares under a name; ``None`` where it declares none.

    Raises:
        MedbenchError: ``predictions.declaration`` naming file, table and entry, ``predictions.two_places``
            where a file or folder of that name is there too.
    """
    project = current_project()
    if name not in project.predictions:
        return None
    table = project.predictions[name]

    def wrong(message: str, hint: str) -> MedbenchError:
        where = f"{project.path}, [predictions.{name}]"
        return MedbenchError("predictions.declaration", f"{where}: {message}.", hint)

    for entry, value in table.items():
        if entry not in _ENTRIES:
            raise wrong(f"'{entry}' is no entry of predictions", unknown_name("entry", entry, _ENTRIES).hint)
        if not isinstance(value, str) or not value:
            raise wrong(f"{entry} is {value!r}", "Give a text.")
    if "folder" not in table:
        raise wrong("folder is missing", 'For example folder = "masks".')
    folder = project.folder / at_home(table["folder"])
    if Path(name).exists() and Path(name).resolve() != folder.resolve():
        raise MedbenchError(
            "predictions.two_places",
            f"'{name}' is declared in {project.path} as {folder}, and {Path(name).resolve()} is there too.",
            f"Write ./{name} for the folder, or rename the declaration.",
        )
    return NamedPredictions(
        name, folder, table.get("title", name), table.get("challenge", ""), _rename(table, wrong)
    )


def _rename(table: Mapping[str, Any], wrong: Any) -> tuple[str, str] | None:
    value = table.get("rename")
    if value is None:
        return None
    old, equals, new = value.partition("=")
    if not old or not equals:
        raise wrong(f"rename is '{value}'", 'For example rename = "_mask=_pred".')
    return old, new
