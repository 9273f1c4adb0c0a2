"""The contract of a challenge on the sample that all tests share, drawn once more instead of twice."""

import pytest

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.running.samples import file_hashes
from medbench.testing import check_challenge


def check_with(name, folder, work):
    """Check a challenge on its shared sample, and that another drawing of it has the same bytes."""
    check_challenge(name, folder)
    release = load_challenge(name).release
    again = work / "again"
    again.mkdir()
    release.draw_sample(again, {})
    assert file_hashes(again) == file_hashes(folder)
    assert not [finding for finding in release.check(folder) if finding.severity == "error"]
    with pytest.raises(MedbenchError):
        release.draw_sample(work / "option", {"no such option": 1})
