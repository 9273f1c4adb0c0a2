"""Results that cost a reader much more than their bytes: they fail their case, and soon."""

import json
import shutil
import time

import numpy as np
import pytest
import tifffile

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.io.gate.expected import handed_in
from medbench.io.gate.source import copy_file
from medbench.io.slides import slide_facts
from medbench.submissions.host.serving import collect_jobs, evaluate_results
from medbench.submissions.serving.session import Roots

HUGE = 1 << 40


def grow(path):
    """A file of a tebibyte that takes no place on the disk."""
    with open(path, "r+b") as stream:
        stream.truncate(HUGE)


def test_a_job_image_of_the_challenges_own_type_is_not_copied_whatever_its_size(tmp_path):
    from medbench.challenges.psfhs.sample import write_sample

    write_sample(tmp_path / "data", (3201, 3243))
    challenge = load_challenge("psfhs")
    bad, good = cases = challenge.cases(tmp_path / "data", "test")
    jobs = []
    for key, case in (("bad", bad), ("good", good)):
        folder = tmp_path / key / "output/images/mask"
        folder.mkdir(parents=True)
        shutil.copy(next(iter(case.reference.values())), folder / "a.mha")
        jobs.append(
            {
                "pk": key,
                "status": "Succeeded",
                "inputs": [{"image": {"name": f"{case.id}.mha"}}],
                "outputs": [{"socket": {"relative_path": "images/mask"}}],
            }
        )
    grow(tmp_path / "bad/output/images/mask/a.mha")
    (tmp_path / "predictions.json").write_text(json.dumps(jobs))
    started = time.process_time()
    reasons, strays = collect_jobs(challenge, cases, tmp_path / "predictions.json", tmp_path / "p")
    assert time.process_time() - started < 1
    assert "takes 1,048,576.0 MiB of memory" in reasons[bad.id]
    assert (reasons[good.id], strays) == ("", [])
    assert (tmp_path / "p" / challenge.exchange.prediction_name(bad)).read_bytes() == b""
    with pytest.raises(MedbenchError) as refused:
        copy_file(
            tmp_path / "bad/output/images/mask/a.mha", tmp_path, tmp_path / "copy.mha", handed_in((8, 8))
        )
    assert refused.value.code == "file.too_large"
    assert not (tmp_path / "copy.mha").exists()


def test_a_table_of_millions_of_lines_fails_its_case(tmp_path):
    from medbench.challenges.iugc2025.sample import write_sample

    write_sample(tmp_path / "app/input/ref", {"train": 1, "val": 1, "test": 2}, side=32)
    challenge = load_challenge("iugc2025")
    cases = challenge.cases(tmp_path / "app/input/ref", "test")
    for case in cases:
        target = tmp_path / "app/input/res" / challenge.exchange.prediction_name(case)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("a,b\n" * (600_000 if case is cases[0] else 1))
    started = time.process_time()
    evaluate_results({"challenge": "iugc2025", "split": "test"}, Roots(tmp_path))
    assert time.process_time() - started < 3
    details = json.loads((tmp_path / "app/output/details.json").read_text())
    assert "holds more than 1,048,576 values" in details["cases"][0]["reason"]


def test_a_mask_of_a_slide_with_hundreds_of_pages_is_refused(tmp_path):
    def write(count, **options):
        with tifffile.TiffWriter(tmp_path / "a.tiff", **options) as writer:
            for _ in range(count):
                writer.write(np.zeros((16, 16), np.uint8), tile=(16, 16), contiguous=False)
        return slide_facts(tmp_path / "a.tiff", channels=1)

    for options in ({}, {"bigtiff": True}):
        assert write(3, **options).shape == (16, 16)
        started = time.process_time()
        with pytest.raises(MedbenchError, match="holds more than 512 images"):
            write(600, **options)
        assert time.process_time() - started < 5
