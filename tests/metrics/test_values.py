"""Every definition gives the same number as before, to the last digit.

What the numbers should be is held elsewhere, against libraries and organisers' programs within their own
precision. These are ours, so that no change of a formula or of the way to it passes unseen:
``python tests/metrics/test_values.py`` writes them anew.
"""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import numpy as np
import pytest

import medbench
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.metrics import metric
from medbench.testing.metrics import mask_samples

FILE = Path(__file__).with_name("values.json")
FITTED = ("aop.ellipse", "hc.adf", "hc.df", "psfhs.score")
"""From ellipses that OpenCV fits: equal to nine digits, whatever its version."""


def inputs(id):
    """Name -> reference, prediction, spacing."""
    if metric(id).compares_masks:
        return {
            sample.name: (sample.reference, sample.prediction, sample.spacing) for sample in mask_samples()
        }
    test = doctest.DocTestParser().get_doctest(metric(id).example, {}, id, None, 0)
    for line in test.examples:
        if not line.want:
            exec(line.source, test.globs)
    pair = test.globs["reference"], test.globs["prediction"]
    return {"example": (*pair, (1.0,) * np.ndim(pair[0]) if metric(id).needs_spacing else None)}


def values(id):
    options = {"tolerance": 1.0} if metric(id).options.get("tolerance", 0) is None else {}
    found = {}
    for name, (reference, prediction, spacing) in inputs(id).items():
        try:
            found[name] = medbench.score(id, reference, prediction, spacing=spacing, **options).value
        except MedbenchError as error:
            if error.code != "metric.shape":
                raise
    return found


@pytest.mark.parametrize("id", medbench.list_metrics())
def test_values(id):
    expected = json.loads(FILE.read_text(encoding="utf-8"))[id]
    present = values(id)
    assert any(value is not None for value in present.values())
    if id in FITTED:
        assert present == pytest.approx(expected, rel=1e-9)
    else:
        assert present == expected


if __name__ == "__main__":
    lines = [f'"{id}": {json.dumps(values(id))}' for id in medbench.list_metrics()]
    write_text(FILE, "{\n" + ",\n".join(lines) + "\n}\n")
