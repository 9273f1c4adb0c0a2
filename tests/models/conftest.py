import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parents[1] / "golden"


def filled_state(shapes, integers=()):
    """Weights that depend on each parameter's name and shape alone; the rule stands in the golden files."""
    state = {}
    for key, shape in shapes.items():
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        if key in integers:
            state[key] = torch.zeros(shape, dtype=torch.int64)
        elif key.endswith("running_var"):
            state[key] = 1 + 0.1 * torch.rand(shape, generator=generator)
        elif len(shape) >= 2:
            state[key] = torch.randn(shape, generator=generator) * (1 / math.sqrt(math.prod(shape[1:])))
        elif key.endswith("weight"):
            state[key] = 1 + 0.1 * torch.randn(shape, generator=generator)
        else:
            state[key] = 0.1 * torch.randn(shape, generator=generator)
    return state


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small networks gain nothing from threads, and waiting threads cost a busy machine dearly."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def fill():
    return filled_state


@pytest.fixture(scope="session")
def golden():
    """``golden(name)`` reads the facts and the arrays of ``tests/golden/name``."""

    def read(name):
        facts = json.loads((GOLDEN / f"{name}.json").read_text())
        arrays = GOLDEN / f"{name}.npz"
        return facts, dict(np.load(arrays)) if arrays.exists() else {}

    return read


@pytest.fixture(scope="session")
def relative_error():
    def measure(value, reference):
        reference = torch.as_tensor(reference).double()
        return float((value.detach().double() - reference).norm() / reference.norm())

    return measure
