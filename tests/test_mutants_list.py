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
    assert set(entry) - {"survives"} == {"file", "find", "replace", "tests"}
    ast.parse(mutants.changed(entry, mutants.SOURCES))
    assert all((mutants.ROOT / test.partition("::")[0]).is_file() for test in entry["tests"])


def test_the_list_is_long_and_few_of_it_survive():
    assert len(ENTRIES) >= 120
    assert sum("survives" in entry for entry in ENTRIES.values()) <= 0.05 * len(ENTRIES)


def test_mutants_near_a_change_are_those_of_its_file_its_folder_or_its_tests():
    paired = mutants.mutants(near=[mutants.SOURCES / "medbench/statistics/paired.py"])
    assert paired
    assert {entry["file"] for entry in paired.values()} == {"statistics/paired.py"}
    assert set(paired) < set(mutants.mutants(near=[mutants.SOURCES / "medbench/statistics"]))
    assert set(paired) <= set(mutants.mutants(near=[mutants.TESTS / "statistics/test_paired.py"]))
