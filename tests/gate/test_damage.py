"""Bit errors never change what is read where a checksum covers them; edited headers never end the process."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import gate_samples as made
import numpy as np
import pytest

from medbench.core.errors import MedbenchError

N_BITS = 200
BUDGET_BYTES = 64 << 20
DOCUMENT = Path(__file__).parents[2] / "docs" / "gate.md"


def flipped(content, rng, start=0):
    content = bytearray(content)
    content[int(rng.integers(start, len(content)))] ^= 1 << int(rng.integers(8))
    return bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("form", made.FORMATS, ids=[form.name for form in made.FORMATS])
def test_single_bit_errors(tmp_path, say, form):
    rng = np.random.default_rng(5)
    path = tmp_path / f"a{form.suffix}"
    content = form.make()
    path.write_bytes(content)
    right = form.read(path)
    start = form.values_at(content) if form.values_at else 0
    refused = same = other = 0
    for _ in range(N_BITS):
        path.write_bytes(flipped(content, rng, start))
        try:
            volume = form.read(path)
        except MedbenchError:
            refused += 1
            continue
        same += made.alike(volume, right)
        other += not made.alike(volume, right)
    say(
        f"{form.name}: {N_BITS} bit errors, {refused} refused, {same} read as undamaged, "
        f"{other} read otherwise"
    )
    if form.checked == "none":
        assert f"| {form.name.split(',')[0]}" in DOCUMENT.read_text()
    else:
        assert other == 0
        assert refused > 0


def test_formats_without_a_checksum_are_listed_by_name():
    unchecked = DOCUMENT.read_text().split("## Formats without a checksum")[1].split("\n## ")[0]
    for form in made.FORMATS:
        assert (f"| {form.name} |" in unchecked) == (form.checked != "all"), form.name


@pytest.fixture
def n_edits(request):
    return request.config.getoption("--fuzz", default=100)


@pytest.mark.slow
@pytest.mark.parametrize("form", made.FORMATS, ids=[form.name for form in made.FORMATS])
def test_edited_headers(n_edits, say, form):
    child = Path(__file__).parent / "fuzz_child.py"
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, str(child), form.name, str(n_edits), "11", folder],
            capture_output=True,
            text=True,
            timeout=60 + n_edits,
            check=False,
        )
    assert run.returncode == 0, f"the process died: {run.returncode} {run.stderr[-500:]}"
    counts = json.loads(run.stdout)
    say(
        f"{form.name}: {n_edits} edited headers, {counts['read']} read, {counts['refused']} refused, "
        f"{len(counts['foreign'])} foreign exceptions, {counts['slow']} slow, "
        f"peak {counts['grown_bytes'] / (1 << 20):.0f} MiB above before"
    )
    assert counts["read"] + counts["refused"] == n_edits
    assert counts["foreign"] == []
    assert counts["slow"] == 0
    assert counts["grown_bytes"] <= BUDGET_BYTES + (64 << 20)
    assert counts["refused"] > 0
