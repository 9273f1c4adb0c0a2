"""JSON files of releases and submissions, read through the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medbench.io.gate.admission import entrance
from medbench.io.gate.expected import Expected, Role
from medbench.io.gate.refusal import Reject

LARGEST_JSON_BYTES = 64 << 20


def read_json_value(path: Path, role: Role = "release") -> Any:
    """The value of a JSON file in UTF-8.

    Args:
        path: the file.
        role: whose file it is.

    Raises:
        MedbenchError: what the gate refuses; ``data.json`` naming the line for what is no JSON, for NaN and
            infinities, which JSON does not have, and for values nested too deeply.
    """
    with entrance(path, "table", expected=Expected(role, memory_bytes=LARGEST_JSON_BYTES)) as file:
        try:
            return json.loads(file.content.decode("utf-8-sig"), parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise _wrong(f"line {error.lineno}: is no JSON ({error.msg})") from error
        except UnicodeDecodeError as error:
            raise _wrong(f"line {file.content.count(10, 0, error.start) + 1}: is not UTF-8 text") from error
        except (RecursionError, ValueError) as error:
            raise _wrong("holds values that are nested too deeply or too long") from error


def _refuse_constant(name: str) -> float:
    raise _wrong(f"holds {name}, which is no JSON number")


def _wrong(facts: str) -> Reject:
    return Reject("data.json", facts, "Write it with a JSON library, in UTF-8.")
