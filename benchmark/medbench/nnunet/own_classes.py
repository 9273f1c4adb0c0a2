"""Names of nnU-Net's own planners and trainers, read from its sources without importing them."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path
from typing import Literal

Kind = Literal["planner", "trainer"]
DEFAULT_TRAINER = "nnUNetTrainer"
_FOLDERS: dict[Kind, str] = {
    "planner": "experiment_planning/experiment_planners",
    "trainer": "training/nnUNetTrainer",
}
_CLASS = re.compile(r"^class (\w+)\((?!\))", re.MULTILINE)
_NOT_TO_USE = re.compile(r"Abstract|Benchmark|^_")


@functools.cache
def own_classes(kind: Kind) -> tuple[str, ...]:
    """Names of the classes that the installed nnU-Net brings; none where it is not installed.

    Args:
        kind: ``planner`` or ``trainer``.
    """
    spec = importlib.util.find_spec("nnunetv2")
    if spec is None or not spec.submodule_search_locations:
        return ()
    folder = Path(next(iter(spec.submodule_search_locations))) / _FOLDERS[kind]
    names = {
        name
        for path in folder.rglob("*.py")
        for name in _CLASS.findall(path.read_text(encoding="utf-8"))
        if not _NOT_TO_USE.search(name) and (kind in name.lower())
    }
    return tuple(sorted(names))
