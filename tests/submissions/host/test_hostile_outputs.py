"""Outputs of participants' containers in hosted phases: a hostile file fails its case, and costs nothing."""

import json
import os
import shutil
import time
import zlib

import cv2
import numpy as np
import pytest
import SimpleITK
import tifffile

from medbench.challenges import load_challenge
from medbench.submissions.host.serving import evaluate_jobs, evaluate_results
from medbench.submissions.serving.session import Roots

FACTS = {"challenge": "hc18", "split": "test"}
SIDE = 20_000
HEADER = (
    "ObjectType = Image\nNDims = 2\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "CompressedData = {packed}\nDimSize = {width} {height}\nElementType = MET_UCHAR\n"
    "ElementDataFile = {data}\n"
)
IMAGES = "output/images/segmentation"


@pytest.fixture(scope="module")
def cases(release):
    """Those of the test split; one is scored first, so that no import is in the times that are asserted."""
    challenge = load_challenge("hc18")
    cases = challenge.cases(release, "test")
    labels = challenge.release.read_reference(cases[0])
    challenge.scorer.score_arrays(labels, labels, (1.0, 1.0))
    return cases


class Job:
    """The folder of a job, the reference of its case, and a place that no participant may read."""

    def __init__(self, folder, reference, elsewhere):
        self.folder, self.reference, self.elsewhere = folder, reference, elsewhere
        self.images = folder / IMAGES
        self.images.mkdir(parents=True)
        elsewhere.mkdir()

    def save(self, path, labels=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        labels = self.reference if labels is None else labels
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(labels), str(path), True)

    def header(self, data, packed=False, size=None):
        height, width = size or self.reference.shape
        text = HEADER.format(packed=packed, width=width, height=height, data=data)
        return text.encode()


def link_to_the_reference(job):
    job.save(job.elsewhere / "reference.mha")
    (job.images / "a.mha").symlink_to(job.elsewhere / "reference.mha")


def link_to_the_folder_of_references(job):
    job.save(job.elsewhere / "reference.mha")
    job.images.rmdir()
    job.images.symlink_to(job.elsewhere)


def link_above_it(job):
    job.save(job.elsewhere / "segmentation/reference.mha")
    shutil.rmtree(job.images.parent)
    job.images.parent.symlink_to(job.elsewhere)


def header_of_the_reference(job):
    (job.elsewhere / "reference.raw").write_bytes(job.reference.tobytes())
    (job.images / "a.mha").write_bytes(job.header(job.elsewhere / "reference.raw"))


def header_with_values_beside_it(job):
    (job.images / "a.raw").write_bytes(job.reference.tobytes())
    (job.images / "a.mha").write_bytes(job.header("a.raw"))


def header_alone(job):
    (job.images / "a.mha").write_bytes(job.header("LOCAL"))


def named_pipe(job):
    os.mkfifo(job.images / "a.mha")


def link_in_a_ring(job):
    job.images.rmdir()
    job.images.symlink_to(job.images)


def name_that_is_no_text(job):
    (job.images / os.fsdecode(b"\xff.mha")).write_bytes(job.header("LOCAL"))


def endless_device(job):
    (job.images / "a.mha").symlink_to("/dev/zero")


def header_without_end(job):
    (job.images / "a.mha").write_bytes(b"Comment = " + b"x" * (30 << 20))


def folder_below(job):
    job.save(job.images / "out/a.mha")


def other_number_of_axes(job):
    job.save(job.images / "a.mha", np.stack([job.reference] * 3))


def packed_zeros(job):
    zeros = zlib.compress(bytes(SIDE * SIDE), 1)
    (job.images / "a.mha").write_bytes(job.header("LOCAL", packed=True, size=(SIDE, SIDE)) + zeros)


def plain_zeros(job):
    with open(job.images / "a.mha", "wb") as stream:
        stream.write(job.header("LOCAL", size=(SIDE, SIDE)))
        stream.truncate(stream.tell() + SIDE * SIDE)


def more_than_the_header_says(job):
    zeros = zlib.compress(bytes(SIDE * SIDE), 1)
    (job.images / "a.mha").write_bytes(job.header("LOCAL", packed=True) + zeros)


def tiff_of_zeros(job):
    tifffile.imwrite(job.images / "a.tif", np.zeros((SIDE, SIDE), np.uint8), compression="zlib")


@pytest.mark.parametrize(
    ("damage", "status", "words"),
    [
        (link_to_the_reference, "failed", "symbolic link out of its folder"),
        (link_to_the_folder_of_references, "failed", "symbolic link out of its folder"),
        (link_above_it, "failed", "symbolic link out of its folder"),
        (header_of_the_reference, "failed", "keeps its values in another file"),
        (header_with_values_beside_it, "failed", "keeps its values in another file"),
        (header_alone, "failed", "not a readable volume"),
        (named_pipe, "missing", "holds a.mha (no file) and no .mha"),
        (link_in_a_ring, "missing", "holds no .mha"),
        (name_that_is_no_text, "failed", "not a readable volume"),
        (endless_device, "missing", "holds a.mha (no file) and no .mha"),
        (header_without_end, "failed", "not a readable volume"),
        (folder_below, "missing", "holds out (a folder) and no .mha"),
        (other_number_of_axes, "failed", "with 3 axes, expected 2"),
        (packed_zeros, "failed", "of memory, and 64.0 MiB are allowed"),
        (plain_zeros, "failed", "of memory, and 64.0 MiB are allowed"),
        (more_than_the_header_says, "failed", "more than the 4,320 bytes that its header announces"),
        (tiff_of_zeros, "failed", "of memory, and 64.0 MiB are allowed"),
    ],
)
def test_a_hostile_output_of_a_job_fails_its_case_alone(release, cases, tmp_path, damage, status, words):
    (tmp_path / "opt/ml/input/data").mkdir(parents=True)
    (tmp_path / "opt/ml/input/data/ground_truth").symlink_to(release)
    read = load_challenge("hc18").release.read_reference
    bad, good = cases[:2]
    damage(Job(tmp_path / "input/bad", read(bad), tmp_path / "elsewhere"))
    other = Job(tmp_path / "input/good", read(good), tmp_path / "unused")
    other.save(other.images / "a.mha")
    jobs = [
        {
            "pk": key,
            "status": "Succeeded",
            "inputs": [{"image": {"name": f"{case.id}.mha"}}],
            "outputs": [{"socket": {"slug": "segmentation", "relative_path": "images/segmentation"}}],
        }
        for key, case in (("bad", bad), ("good", good))
    ]
    (tmp_path / "input/predictions.json").write_text(json.dumps(jobs))
    started = time.process_time()
    evaluate_jobs(FACTS, Roots(tmp_path))
    assert time.process_time() - started < 1
    metrics = json.loads((tmp_path / "output/metrics.json").read_text())
    rows = {row["case"]: row for row in metrics["cases"]}
    assert (rows[bad.id]["status"], rows[bad.id]["scores"]["dice"]) == (status, 0.0)
    assert words in rows[bad.id]["reason"]
    assert (rows[good.id]["status"], rows[good.id]["scores"]["dice"]) == ("ok", 1.0)


def linked(path, reference, elsewhere):
    cv2.imwrite(str(elsewhere / "reference.png"), reference * 255)
    path.symlink_to(elsewhere / "reference.png")


def piped(path, reference, elsewhere):
    os.mkfifo(path)


def large(path, reference, elsewhere):
    cv2.imwrite(str(path), np.zeros((SIDE, SIDE), np.uint8))


def announced(path, reference, elsewhere):
    cv2.imwrite(str(path), reference * 255)
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (linked, "symbolic link out of its folder"),
        (piped, "is a named pipe, not a file"),
        (large, "of memory, and 64.0 MiB are allowed"),
        (announced, ""),
    ],
)
@pytest.mark.parametrize("below", ["", "mine/", "mine/again/"])
def test_a_hostile_result_fails_its_case_alone_however_deep_the_folder(
    release, cases, tmp_path, damage, words, below
):
    (tmp_path / "app/input").mkdir(parents=True)
    (tmp_path / "app/input/ref").symlink_to(release)
    (tmp_path / "elsewhere").mkdir()
    folder = tmp_path / "app/input/res" / below
    folder.mkdir(parents=True)
    challenge = load_challenge("hc18")
    read, name_of = challenge.release.read_reference, challenge.exchange.prediction_name
    bad, good = cases[:2]
    damage(folder / name_of(bad), read(bad), tmp_path / "elsewhere")
    cv2.imwrite(str(folder / name_of(good)), read(good) * 255)
    started = time.process_time()
    evaluate_results(FACTS, Roots(tmp_path))
    assert time.process_time() - started < 1
    details = json.loads((tmp_path / "app/output/details.json").read_text())
    rows = {row["case"]: row for row in details["cases"]}
    assert (rows[bad.id]["status"], rows[bad.id]["scores"]["dice"]) == ("failed", 0.0)
    assert words in rows[bad.id]["reason"]
    assert (rows[good.id]["status"], rows[good.id]["scores"]["dice"]) == ("ok", 1.0)
