"""Published numbers: every one with source, place in it and population; faults are named."""

import dataclasses

import pytest

from medbench.challenges import list_challenges, load_challenge
from medbench.challenges.base import Challenge
from medbench.challenges.published import published_faults
from medbench.leaderboards.boards import make_board, published_name

LEAST = 64
"""Entries, of which one says a place without figures."""


@pytest.mark.parametrize("name", list_challenges())
def test_every_entry_says_who_where_and_of_what(name):
    assert published_faults(load_challenge(name)) == []


def test_there_are_enough_and_those_without_numbers_are_not_counted():
    entries = [entry for name in list_challenges() for entry in load_challenge(name).published()]
    assert len([entry for entry in entries if entry["metrics"]]) >= LEAST - 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("source", "has no source"),
        ("place", "has no place"),
        ("population", "has no population"),
        ("colour = 'red'", "has an unknown entry 'colour'"),
        ("dice_all = 93.5", "dice_all = 93.5 lies outside the metric's range"),
        ("dice_al = 0.9", "has the unknown column dice_al"),
        ("dice_all = nan", "dice_all = nan lies outside"),
        ("twice", "stands there twice for one population"),
        ("source = 'S, table 1'", "says its place in its source too"),
    ],
)
def test_a_fault_is_named(tmp_path, change, fault):
    lines = {"name": "A", "source": "S", "place": "table 1", "population": "ten images"}
    lines.pop(change.partition(" ")[0], None)
    entry = ["[[result]]", *(f'{name} = "{words}"' for name, words in lines.items())]
    entry += [change] if change.startswith(("colour", "source =")) else []
    entry += ["[result.metrics]", change if "dice" in change else "dice_all = 0.9"]
    path = tmp_path / "published.toml"
    path.write_text("\n".join(entry * (2 if change == "twice" else 1)))
    challenge = load_challenge("psfhs")
    card = dataclasses.replace(challenge.card, published_file=path)
    faults = published_faults(Challenge(card, challenge.release, challenge.exchange, challenge.scorer))
    assert len(faults) == 1
    assert faults[0].startswith("psfhs, entry ")
    assert fault in faults[0]


def test_nicknames_are_marked():
    names = [published_name(entry) for entry in load_challenge("psfhs").published()]
    assert "Chen [nickname NKCGP]" in names
    assert "YuboTan [nickname]" in names
    assert "Hongkun Sun" in names


def test_numbers_of_two_populations_never_share_a_table():
    for name in list_challenges():
        for table in make_board(load_challenge(name), []).published:
            assert {entry.population for entry in table.entries} == {table.population}
            assert all(entry.rank is None for entry in table.entries)
