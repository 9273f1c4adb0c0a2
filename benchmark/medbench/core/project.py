"""Project files: ``medbench.toml``, which declares data sets, models and folders of predictions.

The file is data: nothing in it is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import read_toml

PROJECT_FILE = "medbench.toml"
SECTIONS = ("data", "models", "predictions")

_override: Path | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """A project file: its tables, as written.

    Attributes:
        path: the file; ``None`` where there is none, and the tables are empty.
        data: name -> declaration of a data set.
        models: name -> declaration of a model.
        predictions: name -> declaration of a folder of predictions.
    """

    path: Path | None = None
    data: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return Path() if self.path is None else self.path.parent


def find_project(start: Path | None = None) -> Path | None:
    """The nearest ``medbench.toml`` from a folder upwards; ``None`` where there is none.

    Args:
        start: the folder; the working folder if not given.
    """
    folder = (start or Path.cwd()).resolve()
    return next(
        (path for place in (folder, *folder.parents) if (path := place / PROJECT_FILE).is_file()), None
    )


def project_path() -> Path | None:
    """The project file of :func:`use_project`, or the working folder's; ``None`` where there is none."""
    return _override or find_project()


def current_project() -> Project:
    """The project of the working folder, or the one of :func:`use_project`; read anew at every call.

    Raises:
        MedbenchError: ``project.syntax`` or ``project.section``.
    """
    path = project_path()
    return Project() if path is None else read_project(path)


def read_project(path: Path) -> Project:
    """The tables of a project file.

    Raises:
        MedbenchError: ``project.syntax`` with the line that is no TOML, ``project.section`` for a section or
            an entry that project files do not have.
    """
    try:
        tables = read_toml(path)
    except (OSError, ValueError) as error:
        raise MedbenchError(
            "project.syntax", f"{path}: cannot be read as TOML: {error}.", "Correct this line."
        ) from error
    for section, entries in tables.items():
        if section not in SECTIONS:
            raise MedbenchError(
                "project.section",
                f"{path}: there is no section '{section}'.",
                f"Sections are [{'.NAME], ['.join(SECTIONS)}.NAME].",
            )
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            raise MedbenchError(
                "project.section",
                f"{path}: [{section}] holds something else than tables by name.",
                f"Write [{section}.NAME] above its entries.",
            )
    return Project(path, *(tables.get(section, {}) for section in SECTIONS))


def use_project(path: Path | None) -> None:
    """Take a project file in place of the working folder's, in this process; ``None`` ends that.

    The file that is taken already is not pinned: it stays the working folder's.
    """
    global _override
    if path is None or path != project_path():
        _override = path
