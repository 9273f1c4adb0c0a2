"""Loading a user's own Python file that registers models or challenges."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from medbench.core.errors import MedbenchError


def load_plugin(path: Path) -> None:
    """Import a file given by ``--plugin``; it registers what it has while it is imported.

    Raises:
        MedbenchError: ``plugin.missing``.
    """
    if not path.is_file():
        raise MedbenchError("plugin.missing", f"{path}: there is no such file.", "Check --plugin.")
    name = f"medbench_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
