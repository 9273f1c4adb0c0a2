"""Every definition carries an example that runs."""

from __future__ import annotations

import doctest

import pytest

import medbench
from medbench.metrics import metric


@pytest.mark.parametrize("id", medbench.list_metrics())
def test_example(id):
    example = metric(id).example
    assert f"score('{id}'" in example
    test = doctest.DocTestParser().get_doctest(example, {}, id, None, 0)
    runner = doctest.DocTestRunner(verbose=False)
    said = []
    runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_ids_of_one_name_say_what_sets_them_apart():
    by_name = {}
    for id in medbench.list_metrics():
        by_name.setdefault(id.split(".")[0], []).append(metric(id))
    for name, conventions in by_name.items():
        if len(conventions) > 1 and name not in ("f1", "hc"):
            assert all(c.differs for c in conventions), [c.id for c in conventions if not c.differs]


def test_targets_exist():
    from medbench.core.registry import load_object

    for id in medbench.list_metrics():
        assert callable(load_object(metric(id).target))


def test_unknown_ids_name_the_nearest():
    with pytest.raises(medbench.MedbenchError, match=r"hd95\.pooled"):
        metric("hd95.poled")
