"""The one door to the golden files; :func:`golden` is also a fixture."""

import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"


def golden(name):
    """Content of a golden file: of JSON its value, of ``.npz`` a dictionary of arrays.

    ``tests/golden/README.md`` says which program made each file.
    """
    path = GOLDEN / name
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    with np.load(path) as arrays:
        return dict(arrays)
