"""What every challenge must have."""

import pytest

import medbench
from medbench.challenges import list_challenges, load_challenge


@pytest.mark.parametrize("name", list_challenges())
def test_columns_name_known_definitions_and_directions(name):
    challenge = load_challenge(name)
    known = set(medbench.list_metrics())
    names = [metric.name for metric in challenge.metrics]
    assert len(names) == len(set(names))
    for metric in challenge.metrics:
        assert metric.convention in known, metric.convention


@pytest.mark.parametrize("name", list_challenges())
def test_facts_are_there(name):
    challenge = load_challenge(name)
    assert challenge.default_split in challenge.splits
    assert challenge.training_split in challenge.splits
    for fact in (
        challenge.citation,
        challenge.license,
        challenge.homepage,
        challenge.data_hint,
        challenge.failure_rule,
    ):
        assert fact.strip()


@pytest.mark.parametrize("name", list_challenges())
def test_published_numbers_have_sources_and_known_columns(name):
    challenge = load_challenge(name)
    columns = {metric.name for metric in challenge.metrics}
    for entry in challenge.published():
        assert entry["source"]
        assert entry["population"]
        assert set(entry["metrics"]) <= columns
