"""Processes that score are copies of this one only where it has no threads that a copy would wait for."""

from types import SimpleNamespace

import pytest

from medbench.running import executors


@pytest.mark.parametrize(
    ("variable", "modules", "has"),
    [(None, {"pykdtree"}, True), ("2", {"torch"}, True), ("1", {"pykdtree"}, False), (None, {"cv2"}, False)],
)
def test_libraries_with_openmp_count_unless_it_has_one_thread(monkeypatch, variable, modules, has):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(executors, "sys", SimpleNamespace(modules=modules))
    assert executors._has_openmp_threads() is has
