"""The committed JSON Schema is the record's."""

import json
from pathlib import Path

from medbench.records.schema import json_schema

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "run_record.v1.json"


def test_the_committed_schema_is_current():
    assert json.loads(SCHEMA.read_text()) == json_schema()
