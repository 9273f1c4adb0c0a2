"""Variables of the environment that hold no number neither end a build without a word nor change threads."""

import sys

import pytest

from medbench.core.errors import MedbenchError
from medbench.submissions.containers import archives, runners


@pytest.mark.parametrize(("setting", "threads"), [("3", 3), ("4,2", 4), ("", 7), ("all", 7), ("0", 7)])
def test_threads_are_those_of_the_outermost_level(setting, threads, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(runners, "usable_cores", lambda: 7)
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert runners.usable_threads() == threads


def test_a_date_that_is_no_number_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(MedbenchError, match="SOURCE_DATE_EPOCH=yesterday: is no number of seconds") as error:
        archives.source_date_epoch()
    assert error.value.code == "build.date"
