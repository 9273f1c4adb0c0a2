"""The container at the end of the first tutorial, from the tutorial's own commands."""

import sys
import sysconfig
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "docs"))

import pages
from medbench.challenges import load_challenge
from medbench.core.files import write_json
from medbench.running.samples import MARKER, file_hashes
from medbench.submissions.build.context import build_context
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.containers import engines
from medbench.submissions.containers.image_runner import ImageRunner
from medbench.submissions.rehearse.rehearsal import rehearse

PAGE = pages.DOCS / "tutorials" / "enter-a-challenge.md"
PACKAGES = sysconfig.get_path("purelib")
MOUNTED = ["--volume", f"{PACKAGES}:/packages:ro", "--env", "PYTHONPATH=/packages"]
"""This environment's packages, in place of those that pip would put into the image."""


def commands(folder):
    """The tutorial's commands that train and that describe a submission."""
    for language, _, code in pages.blocks(PAGE):
        for words in pages.own_commands(code, folder) if language == "bash" else ():
            if (words[0] == "train" and "--dry-run" not in words) or words[:2] == ["submit", "init"]:
                yield words


@pytest.mark.container
@pytest.mark.slow
def test_the_tutorial_s_container_gives_the_labels_of_medbench_run(engine, small_iugc, tmp_path, monkeypatch):
    release = load_challenge("iugc2024").release
    sample = tmp_path / "cache/samples" / f"{release.data_set}-{release.sample_version}"
    small = {path.relative_to(small_iugc): path for path in small_iugc.rglob("*") if path.is_file()}
    for name, path in small.items():
        (sample / name).parent.mkdir(parents=True, exist_ok=True)
        (sample / name).write_bytes(path.read_bytes())
    mark = {"challenge": release.data_set, "sample_version": release.sample_version}
    mark |= {"note": "synthetic, drawn by medbench", "files": file_hashes(sample)}
    write_json(sample / MARKER, mark)
    monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MEDBENCH_RUNS", str(tmp_path / "runs"))
    for words in commands(tmp_path):
        pages.in_warm_process(words, tmp_path)
    file = tmp_path / "submissions/iugc2024/container.toml"
    text = file.read_text()
    assert 'packages = "index"' in text
    file.write_text(text.replace('packages = "index"', 'packages = "base" '))
    built = build_context(BuildRequest(file, output=tmp_path / "build"))
    engine.build(built.context, built.tag)
    try:
        root = built.folder / "rehearsal" / "root"
        runner = ImageRunner(engine, built.tag, root, built.platform.mounts, built.platform.limits, MOUNTED)
        result = rehearse(built, runners=[runner], count=1)
        assert [finding.rule for finding in result.findings] == ["rehearsal.sample"] or result.passed
        assert result.identical >= 1
    finally:
        engines.remove_image(engine, built.tag)
