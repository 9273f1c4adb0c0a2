"""The list of mutants fits the package as it is now; ``python tests/mutants.py`` shows that each one dies."""

import ast
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

import mutants

ENTRIES = mutants.mutants()


@pytest.mark.parametrize("name", ENTRIES)
def test_a_mutant_stands_for_one_place_and_is_python(name):
    entry = ENTRIES[name]
    assert set(entry) == {"file", "find", "replace", "tests"}
    ast.parse(mutants.changed(entry, mutants.SOURCES))
    assert all((mutants.ROOT / test.partition("::")[0]).is_file() for test in entry["tests"])
