"""The committed JSON Schema is the record's."""

import json
from pathlib import Path

import pytest

from medbench.records.schema import MetricRecord, json_schema

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "run_record.v1.json"


def test_the_committed_schema_is_current():
    assert json.loads(SCHEMA.read_text()) == json_schema()


@pytest.mark.parametrize("edition", ["", "brats2022, "])
def test_a_protocol_is_read_by_its_present_name(edition):
    cells = {
        "title": "Dice", "unit": "", "better": "higher", "convention": "dice.epsilon", "pooled": False,
        "value": 0.5, "ci95_low": None, "ci95_high": None, "ci95_method": "none", "groups": 1, "scored": 1,
        "failed": 0, "missing": 0, "undefined": 0,
    }  # fmt: skip
    record = MetricRecord(protocol=f"{edition}as papers on missing sequences", **cells)
    assert record.protocol == f"{edition}as papers on missing modalities"
    assert MetricRecord(protocol="by volume", **cells).protocol == "by volume"
