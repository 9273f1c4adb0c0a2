"""Evaluation on grand-challenge: the image's program, the ground truth, and jobs for a rehearsal."""

from __future__ import annotations

import json
import shutil
import tarfile
import uuid
from pathlib import Path
from typing import Any

from medbench.core.files import write_text
from medbench.io import images
from medbench.submissions.build.dockerfile import APP, USER, app_lines, user_lines
from medbench.submissions.containers.archives import write_tar
from medbench.submissions.host.program import TRUTH, EvaluationProgram
from medbench.submissions.rehearse.staging import make_readable
from medbench.submissions.serving.image_files import SUFFIXES

OUTPUT_FOLDER = "images/segmentation"


def program_lines(program: Path) -> tuple[str, ...]:
    """Lines of the Dockerfile that copy the program into the image and start it without root."""
    run = f'ENTRYPOINT ["python", "{APP}/evaluate.py"]'
    return (*user_lines(), *app_lines(program), f"USER {USER}:{USER}", run)


def write_truth(evaluation: EvaluationProgram) -> None:
    """Write ``ground_truth.tar.gz``; the same files give the same bytes."""
    files = {path.relative_to(evaluation.root).as_posix(): path for path in evaluation.files}
    write_tar(files, evaluation.truth)


def stage_jobs(evaluation: EvaluationProgram, predictions: Path, root: Path) -> Path:
    """Write jobs and ground truth below ``root``; the path of the program's output."""
    for name in ("input", "output", "tmp"):
        (root / name).mkdir(parents=True)
    _write_jobs(evaluation, predictions, root)
    with tarfile.open(evaluation.truth) as archive:
        archive.extractall(root / TRUTH.lstrip("/"), filter="data")
    for name in ("input", TRUTH.lstrip("/")):
        make_readable(root / name)
    return root / "output/metrics.json"


def _write_jobs(evaluation: EvaluationProgram, predictions: Path, root: Path) -> None:
    """Write ``predictions.json`` with a job per case; the job of a case without a prediction has failed."""
    jobs: list[dict[str, Any]] = []
    for number, case in enumerate(evaluation.cases):
        key = str(uuid.uuid5(uuid.NAMESPACE_OID, case.id))
        path = evaluation.challenge.locate(case, predictions)
        style = ("socket", "interface")[number % 2]
        image = {"name": f"{Path(case.id).name}.mha"}
        sockets = {
            "inputs": {"slug": "image", "relative_path": "images/image"},
            "outputs": {"slug": "mask", "relative_path": OUTPUT_FOLDER},
        }
        entries = {kind: [{"image": image, style: socket}] for kind, socket in sockets.items()}
        jobs.append({"pk": key, "status": "Failed" if path is None else "Succeeded", **entries})
        if path is None:
            continue
        folder = root / "input" / key / "output" / OUTPUT_FOLDER
        folder.mkdir(parents=True)
        if images.suffix_of(path) in SUFFIXES:
            shutil.copyfile(path, folder / f"{key}{images.suffix_of(path)}")
        else:
            from medbench.io.nifti_mha import write_volume

            write_volume(folder / f"{key}.mha", images.read_labels(path))
    write_text(root / "input/predictions.json", json.dumps(jobs[::-1]))
