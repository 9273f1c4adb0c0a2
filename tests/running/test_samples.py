"""Synthetic samples never count as real data, and one that was thinned or edited is found."""

import json
import shutil

import pytest

from medbench.challenges import all_challenges, load_challenge
from medbench.core.case import Data
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json
from medbench.core.progress import SilentProgress
from medbench.running.data import resolve_data
from medbench.running.samples import HASHES, MARKER, file_hashes, image_hashes, is_sample, sample_folder

NAME = "myops2020"
CHALLENGE = load_challenge(NAME)


class Told(SilentProgress):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The sample in a folder of the user's own choice."""
    return sample_folder(CHALLENGE, SilentProgress(), tmp_path_factory.mktemp("drawn") / "sample")


@pytest.fixture
def sample(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "copy")


def images(folder):
    return [path for case in CHALLENGE.cases(folder, "test") for path in case.inputs.values()]


def kind(folder):
    return resolve_data(CHALLENGE, folder, SilentProgress()).kind


def refused(folder):
    with pytest.raises(MedbenchError) as caught:
        kind(folder)
    assert caught.value.code == "sample.damaged"
    return caught.value.message


@pytest.mark.slow
def test_the_list_in_the_package_is_of_every_sample_as_it_is_drawn_now(drawn):
    listed = read_json(HASHES)
    ours = (c for c in all_challenges() if not c.name.startswith("tiny_"))
    names = {f"{c.release.data_set}-{c.release.sample_version}" for c in ours}
    assert names <= set(listed)
    assert all(listed[name] for name in names)
    assert image_hashes(CHALLENGE, drawn) == listed[f"{NAME}-{CHALLENGE.release.sample_version}"]


def test_a_sample_without_its_marker_is_no_real_data(sample):
    assert resolve_data(CHALLENGE, sample, SilentProgress()) == Data(sample, "sample")
    (sample / MARKER).unlink()
    assert kind(sample) == "sample"


def test_a_thinned_renamed_or_partly_edited_one_without_its_marker_is_none_either(sample):
    (sample / MARKER).unlink()
    *others, last = images(sample)
    for path in others:
        path.write_bytes(path.read_bytes() + b"0")
    assert kind(sample) == "sample"
    last.rename(last.with_name("other" + last.suffix))
    assert is_sample(sample)


def test_other_images_are_real_data(small_cvc, small_iugc):
    assert not is_sample(small_cvc)
    assert not is_sample(small_iugc)


def test_a_thinned_or_edited_sample_is_refused_by_the_file_s_name(sample):
    first, second, *_ = images(sample)
    content = first.read_bytes()
    first.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert f"{first.relative_to(sample).as_posix()} was changed" in refused(sample)
    first.write_bytes(content)
    assert kind(sample) == "sample"
    second.unlink()
    assert f"{second.relative_to(sample).as_posix()} is missing" in refused(sample)


def test_a_marker_that_cannot_be_read_is_refused_and_one_from_before_is_taken(sample):
    mark = json.loads((sample / MARKER).read_text())
    (sample / MARKER).write_text("{")
    assert "cannot be read" in refused(sample)
    (sample / MARKER).write_text(json.dumps({k: v for k, v in mark.items() if k != "files"}))
    assert kind(sample) == "sample"


@pytest.mark.slow
def test_a_sample_in_the_cache_is_drawn_again_and_one_of_the_user_s_is_left_alone(
    sample, monkeypatch, tmp_path
):
    monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path / "cache"))
    told = Told()
    kept = sample_folder(CHALLENGE, told)
    before = file_hashes(kept)
    assert len(told.lines) == 1
    assert sample_folder(CHALLENGE, told) == kept
    assert len(told.lines) == 1
    images(kept)[0].unlink()
    assert sample_folder(CHALLENGE, told) == kept
    assert len(told.lines) == 2
    assert file_hashes(kept) == before
    gone = images(sample)[0]
    gone.unlink()
    with pytest.raises(MedbenchError, match="is not this sample"):
        sample_folder(CHALLENGE, told, sample)
    assert not gone.exists()
