"""The project of a container: the declared data set and the model of one's own that a submission names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from medbench.challenges import REGISTRY
from medbench.challenges.declared.travelling import travelling_entries
from medbench.challenges.declared.writing import declaration_text
from medbench.core.files import write_text
from medbench.core.project import PROJECT_FILE, current_project
from medbench.models.local.names import LocalModel, local_model
from medbench.submissions.description import Submission
from medbench.submissions.serving.session import MODELS


def is_declared(challenge: str) -> bool:
    """Whether a challenge is a data set of the project file."""
    return challenge not in REGISTRY and challenge in current_project().data


def travelling_name(model: str) -> str:
    """The name of a model in a container: of one's own, without folders of this machine."""
    own = local_model(model)
    return model if own is None else own.name


def write_project(app: Path, submission: Submission) -> None:
    """Write the project file, and copy an exported network; nothing where neither is needed.

    Files of Python classes travel as plug-ins do.

    Raises:
        MedbenchError: as the declaration's own reading.
    """
    project, tables = current_project(), []
    if is_declared(submission.challenge):
        entries = travelling_entries(project, submission.challenge)
        tables.append(declaration_text(f"data.{submission.challenge}", entries))
    own = local_model(submission.model)
    if own is not None and own.kind == "file":
        (app / MODELS).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(own.path, app / MODELS / own.path.name)
        (app / MODELS / own.path.name).chmod(0o644)
    if own is not None and submission.model in project.models:
        tables.append(declaration_text(f"models.{own.name}", _model_entries(own)))
    if tables:
        write_text(app / PROJECT_FILE, "\n".join(tables))


def _model_entries(model: LocalModel) -> dict[str, Any]:
    folder = f"{MODELS}/" if model.kind == "file" else ""
    entries: dict[str, Any] = {
        "title": model.title,
        "file": f"{folder}{model.path.name}",
        "class": model.object_name,
        "options": dict(model.options),
        "input": dict(model.input),
    }
    return {key: value for key, value in entries.items() if value}
