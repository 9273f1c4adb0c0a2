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
    card, release = challenge.card, challenge.release
    assert release.default_split in release.splits
    assert release.training_split in release.splits
    for fact in (card.citation, card.license, card.homepage, release.data_hint, card.failure_rule):
        assert fact.strip()


@pytest.mark.parametrize("name", list_challenges())
def test_published_numbers_have_sources_and_known_columns(name):
    challenge = load_challenge(name)
    columns = {metric.name for metric in challenge.metrics}
    for entry in challenge.published():
        assert entry["source"]
        assert entry["population"]
        assert set(entry["metrics"]) <= columns
