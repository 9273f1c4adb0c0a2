"""Loading a user's own Python file that registers models or challenges."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from medbench.core.errors import MedbenchError

_PREFIX = "medbench_plugin_"


def loaded_plugins() -> list[Path]:
    """Files that :func:`load_plugin` has loaded, for processes that need the same."""
    modules = [module for name, module in sys.modules.items() if name.startswith(_PREFIX)]
    return [Path(module.__file__) for module in modules if module.__file__]


def load_plugin(path: Path) -> None:
    """Import a file given by ``--plugin``; it registers what it has while it is imported.

    Raises:
        MedbenchError: ``plugin.missing``.
    """
    if not path.is_file():
        raise MedbenchError("plugin.missing", f"{path}: there is no such file.", "Check --plugin.")
    name = f"{_PREFIX}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
