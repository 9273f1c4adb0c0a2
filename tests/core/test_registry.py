"""Names resolve lazily, and a wrong one gets a helpful answer."""

import importlib.metadata
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from medbench.core.errors import MedbenchError
from medbench.core.plugins import plugin_hashes
from medbench.core.registry import Registry


def test_an_object_is_imported_on_first_use_only():
    registry: Registry = Registry(
        "thing", {"ordered": "collections:OrderedDict", "broken": "no_such_module:x"}
    )
    assert registry.names("o*") == ["ordered"]
    assert registry.get("ordered").__name__ == "OrderedDict"
    with pytest.raises(MedbenchError, match=r"thing broken of no_such_module:x: .*ModuleNotFoundError"):
        registry.get("broken")


def test_an_unknown_name_gets_the_nearest_ones():
    registry: Registry = Registry("model", {"dssau_net": "a:b", "brau_net": "a:c"})
    with pytest.raises(MedbenchError) as caught:
        registry.get("dsau_net")
    assert caught.value.code == "model.unknown"
    assert "dssau_net" in caught.value.hint


def test_a_clash_names_both_origins():
    registry: Registry = Registry("model", {"net": "first:Net"})
    with pytest.raises(MedbenchError, match=r"first:Net.*second:Net"):
        registry.add("net", "second:Net")
    registry.add("net", "first:Net")


def test_a_thread_that_asks_while_packages_are_listed_waits_for_them(monkeypatch):
    """Scoring runs in threads; a metric of a package was unknown to all but the first."""
    first_asks = threading.Event()

    def slowly(group):
        first_asks.set()
        time.sleep(0.2)
        return [SimpleNamespace(name="lab", value="json:loads")]

    monkeypatch.setattr(importlib.metadata, "entry_points", slowly)
    registry: Registry = Registry("metric")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(registry.names)
        assert first_asks.wait(5)
        second = pool.submit(registry.names)
        assert (first.result(), second.result()) == (["lab"], ["lab"])


def test_a_package_that_is_installed_changed_or_removed_meanwhile_is_noticed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    before = plugin_hashes()
    info = tmp_path / "lab_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: lab-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[medbench.models]\nlab/net = lab_models:ENTRY\n")
    digests = set()
    for record in ("one", "other"):
        (info / "RECORD").write_text(record)
        hashes = plugin_hashes()
        assert hashes.keys() - before.keys() == {"lab-models 1.0"}
        digests.add(hashes["lab-models 1.0"])
    assert len(digests) == 2
    shutil.rmtree(info)
    assert plugin_hashes() == before
