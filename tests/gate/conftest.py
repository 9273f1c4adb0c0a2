"""The gate's own helpers can be imported."""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """Thousands of small files: their safety after a power cut is not what is tested here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
