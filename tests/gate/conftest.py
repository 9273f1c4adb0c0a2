"""The gate's own helpers can be imported, and its tests print what they counted."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def say(capsys):
    """Print a line although output is captured."""

    def _say(line):
        with capsys.disabled():
            print(f"\n{line}", end="")  # noqa: T201

    return _say
