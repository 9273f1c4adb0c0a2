"""Part of a declaration that a container needs: reading of images and writing of answers, no folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medbench.challenges.declared.challenge import completed
from medbench.challenges.declared.declaration import Declaration, read_declaration
from medbench.core.project import Project

_TEMPLATES: Mapping[str, Mapping[str, str]] = {
    "segmentation": {"layout": "folders", "images": "{case}.*", "masks": "{case}.mask.*"},
    "classification": {"layout": "folders", "images": "{class}/{case}.*"},
    "detection": {"layout": "coco", "images": "{case}", "table": "annotations.json"},
}


def travelling_entries(project: Project, name: str) -> dict[str, Any]:
    """The entries of ``[data.NAME]`` for a project file in a container.

    What only ``dataset.json`` says is written out; root, splits, groups and columns stay at home.

    Raises:
        MedbenchError: as :func:`medbench.challenges.declared.declaration.read_declaration`.
    """
    assert project.path is not None
    declaration = completed(read_declaration(name, project.data[name], project.path))
    entries: dict[str, Any] = {
        "title": declaration.title,
        "task": declaration.task,
        **_TEMPLATES[declaration.task],
        "labels": dict(declaration.labels),
        **_optional(declaration),
    }
    return {key: value for key, value in entries.items() if value not in ("", [], {}, None)}


def _optional(declaration: Declaration) -> dict[str, Any]:
    own = declaration
    spacing = own.spacing if isinstance(own.spacing, str) else list(own.spacing)
    rules: dict[str, Any] = {"metrics": list(own.metrics)}
    if own.task == "segmentation":
        rules |= {"empty": dict(own.empty), "missing": own.missing, "spacing": spacing}
    return {
        "modalities": list(own.modalities),
        "channels": own.channels,
        "values": None if own.values is None else list(own.values),
        "threshold": own.threshold,
        **rules,
        **own.facts,
    }
