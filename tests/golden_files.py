"""Golden files by name; :func:`golden` is also a fixture, and nothing else opens the folder."""

import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"


def golden(name):
    """Content of a golden file: of JSON its value, of ``.npz`` its arrays by name, read on demand.

    A name without suffix gives both, ``(value, arrays)``; the arrays are empty where there is no ``.npz``.
    ``tests/golden/README.md`` says which program made each file.
    """
    path = GOLDEN / name
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    if path.suffix == ".npz":
        return np.load(path)
    arrays = f"{name}.npz"
    return golden(f"{name}.json"), golden(arrays) if (GOLDEN / arrays).exists() else {}
