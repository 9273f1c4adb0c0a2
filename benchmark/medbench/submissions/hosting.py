"""The organisers' side: a challenge's scoring as the evaluation program of a platform, and its rehearsal."""

from __future__ import annotations

import json
import shutil
import tarfile
import textwrap
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbench import __version__
from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, read_json, write_json, write_text
from medbench.core.progress import Progress
from medbench.core.registry import unknown_name
from medbench.io import images
from medbench.io.raster import write_picture
from medbench.running.data import resolve_data
from medbench.running.environment import PACKAGE, git_state
from medbench.running.evaluate import evaluate
from medbench.submissions import archives
from medbench.submissions.building import APP, USER, anonymous, python_image, user_lines
from medbench.submissions.locking import evaluation_packages, gather, lock, requirement_lines
from medbench.submissions.runners import RelocatedRunner, usable_threads
from medbench.submissions.serving.evaluating import FACTS
from medbench.submissions.serving.pictures import SUFFIXES

Host = Literal["grand-challenge", "codabench"]
HOSTS: tuple[Host, ...] = ("grand-challenge", "codabench")
TIME_S = 3600
PHASE_START = "2026-01-01"
_LEFT_OUT = ("cli", "models", "training", "profiling", "synthesis", "published", "__pycache__")
_OUTPUT_FOLDER = "images/segmentation"
_PROGRAM = '''"""Score what was handed in; medbench finds it by the platform's layout."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from medbench.submissions.serving.evaluating import run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run(HERE))
'''


@dataclass(frozen=True, slots=True)
class Hosted:
    """An evaluation program that lies ready.

    Attributes:
        challenge: whose scoring it is.
        platform: where it runs.
        split: what it scores.
        root: of the ground truth.
        folder: ``build/<challenge>-evaluation-<platform>``.
    """

    challenge: Challenge
    platform: Host
    split: str
    root: Path
    folder: Path

    @property
    def program(self) -> Path:
        """Folder of the program: of the image's ``/opt/app``, or Codabench's ``/app/program``."""
        place = {"grand-challenge": "context/app", "codabench": "bundle/scoring_program"}
        return self.folder / place[self.platform]

    @property
    def image(self) -> Path:
        """Folder that the image is built from: with the program, or, for Codabench, what it runs in."""
        return self.folder / ("context" if self.platform == "grand-challenge" else "image")

    @property
    def tag(self) -> str:
        """Name of the image."""
        return f"medbench/{self.folder.name}:{__version__}"

    @property
    def truth(self) -> Path:
        """What is uploaded as ground truth."""
        return self.folder / "ground_truth.tar.gz"


def host(
    challenge: str, platform: Host, data: Path | None, split: str | None, output: Path, progress: Progress
) -> Hosted:
    """Write the evaluation program and its ground truth.

    Args:
        challenge: challenge name.
        platform: ``grand-challenge``: the context of an image and ``ground_truth.tar.gz``; ``codabench``: a
            competition bundle that takes results.
        data: folder with a real copy; else as ``medbench run`` finds it.
        split: the challenge's default if not given; its cases need references.
        output: folder of builds.
        progress: told what happens.

    Raises:
        MedbenchError: ``host.no_reference`` for a split whose references are not there.
    """
    loaded = load_challenge(challenge)
    chosen = split or loaded.default_split
    loaded.check_split(chosen)
    root = resolve_data(loaded, data, progress).root
    cases = loaded.cases(root, chosen)
    bare = next((case.id for case in cases if not case.reference), None)
    if bare is not None:
        raise MedbenchError(
            "host.no_reference", f"{bare}: has no reference to score with.", "Choose another --split."
        )
    name = f"{challenge}-evaluation-{platform}".replace("_", "-")
    hosted = Hosted(loaded, platform, chosen, root, output / name)
    shutil.rmtree(hosted.folder, ignore_errors=True)
    _write_program(hosted)
    truth = sorted({path for case in cases for path in (*case.inputs.values(), *case.reference.values())})
    files = [*truth, *(path for path in sorted(root.glob("*")) if path.is_file() and path not in truth)]
    if platform == "codabench":
        _write_image(hosted)
        _write_bundle(hosted, files)
    else:
        run = f'ENTRYPOINT ["python", "{APP}/evaluate.py"]'
        _write_image(hosted, *user_lines(), f"COPY app {APP}", f"WORKDIR {APP}", f"USER {USER}:{USER}", run)
        with atomic_path(hosted.truth) as temporary, tarfile.open(temporary, "w:gz") as archive:
            for path in files:
                archive.add(path.resolve(), arcname=path.relative_to(root).as_posix(), filter=anonymous)
    return hosted


def _write_program(hosted: Hosted) -> None:
    ignored = shutil.ignore_patterns(*_LEFT_OUT, "*.pyc")
    shutil.copytree(PACKAGE, hosted.program / "medbench", ignore=ignored)
    write_text(hosted.program / "evaluate.py", _PROGRAM)
    commit, changed = git_state()
    facts = {
        "challenge": hosted.challenge.name,
        "split": hosted.split,
        "platform": hosted.platform,
        "medbench_version": __version__,
        "medbench_commit": f"{commit}{'-dirty' if changed else ''}" if commit else None,
    }
    write_json(hosted.program / FACTS, facts)


def _locked(hosted: Hosted) -> dict[str, str]:
    return lock(evaluation_packages(slides=hosted.challenge.slide_settings is not None))


def _write_image(hosted: Hosted, *program: str) -> None:
    """The Dockerfile of what the program needs, and its lock; ``program`` are the lines that put it in."""
    lines = requirement_lines(_locked(hosted), "cpu")
    write_text(hosted.image / "requirements.lock", "\n".join(lines) + "\n")
    text = [
        f"FROM --platform=linux/amd64 {python_image()}",
        "COPY requirements.lock /build/requirements.lock",
        "RUN pip install --no-cache-dir --no-compile --requirement /build/requirements.lock",
        *program,
    ]
    write_text(hosted.image / "Dockerfile", "\n".join(text) + "\n")


def _write_bundle(hosted: Hosted, files: Sequence[Path]) -> None:
    """``competition.yaml`` with one phase and task, the scoring program and the reference data."""
    import yaml

    bundle, challenge = hosted.folder / "bundle", hosted.challenge
    write_text(bundle / "scoring_program" / "metadata.yaml", "command: python3 /app/program/evaluate.py\n")
    for path in files:
        target = bundle / "reference_data" / path.relative_to(hosted.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    write_picture(bundle / "logo.png", _logo(challenge.title))
    for page in ("overview", "terms"):
        write_text(bundle / f"{page}.md", f"# {challenge.title}\n\n{challenge.citation}\n")
    columns = [
        {
            "key": metric.name,
            "title": metric.title,
            "index": index,
            "sorting": "desc" if metric.better == "higher" else "asc",
            "precision": 4,
        }
        for index, metric in enumerate(challenge.metrics)
    ]
    phase = {"index": 0, "name": hosted.split, "tasks": [0], "start": PHASE_START}
    competition = {
        "version": 2,
        "title": challenge.title,
        "description": challenge.task,
        "image": "logo.png",
        "docker_image": hosted.tag,
        "terms": "terms.md",
        "pages": [{"title": "Overview", "file": "overview.md"}],
        "tasks": [
            {
                "index": 0,
                "name": challenge.task,
                "scoring_program": "scoring_program",
                "reference_data": "reference_data",
            }
        ],
        "phases": [phase | {"execution_time_limit": TIME_S}],
        "leaderboards": [
            {"index": 0, "title": "Results", "key": "results", "columns": columns},
        ],
    }
    write_text(bundle / "competition.yaml", yaml.safe_dump(competition, sort_keys=False, allow_unicode=True))
    archives.write_zip(bundle, hosted.folder / f"{hosted.folder.name}.zip")


def _logo(title: str) -> npt.NDArray[np.uint8]:
    """The title on a plain ground; a bundle must have a picture."""
    import cv2

    picture = np.full((200, 400, 3), (32, 60, 92), np.uint8)
    for line, text in enumerate(textwrap.wrap(title, 20)[:3]):
        place = 20, 70 + 45 * line
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2, cv2.LINE_AA)
    return picture


def rehearse_host(hosted: Hosted, predictions: Path, progress: Progress) -> Iterator[str]:
    """Run the program on predictions as the platform does; it must give the numbers of ``medbench evaluate``.

    Raises:
        MedbenchError: ``host.failed`` when it ends with an error, ``host.differs`` naming the column, and as
            :func:`medbench.running.evaluate.evaluate`.
    """
    work = hosted.folder / "rehearsal"
    root = work / "root"
    shutil.rmtree(work, ignore_errors=True)
    for name in ("input", "output", "tmp"):
        (root / name).mkdir(parents=True)
    cases = hosted.challenge.cases(hosted.root, hosted.split)
    place = "app/program" if hosted.platform == "codabench" else APP.lstrip("/")
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).symlink_to(hosted.program.resolve(), target_is_directory=True)
    if hosted.platform == "codabench":
        (root / "app/input").mkdir(parents=True)
        (root / "app/output").mkdir()
        (root / "app/input/ref").symlink_to((hosted.folder / "bundle/reference_data").resolve())
        (root / "app/input/res").symlink_to(predictions.resolve())
        writable, result = "/app/output", root / "app/output/details.json"
    else:
        _stage_jobs(hosted.challenge, cases, predictions, root)
        with tarfile.open(hosted.truth) as archive:
            archive.extractall(root / "opt/ml/input/data/ground_truth", filter="data")
        writable, result = "/output", root / "output/metrics.json"
    packages, script = work / "packages", (root / place / "evaluate.py").absolute()
    gather(_locked(hosted), packages, link=True)
    runner = RelocatedRunner(root.resolve(), packages.resolve(), script, [writable], usable_threads())
    outcome = runner.run((), TIME_S)
    if not outcome.ok or outcome.denied:
        told = outcome.denied[0] if outcome.denied else outcome.last_line
        raise MedbenchError("host.failed", f"{hosted.folder.name}: ended with {outcome.code}: {told}", "")
    own = evaluate(
        hosted.challenge.name,
        predictions,
        data=hosted.root,
        split=hosted.split,
        runs=work,
        leaderboards=work,
        progress=progress,
    ).record.metrics
    found = read_json(result)["aggregates"]
    for name, metric in own.items():
        if name not in found or found[name]["value"] != metric.value:
            raise MedbenchError(
                "host.differs",
                f"{hosted.folder.name}: {name} is {found.get(name, {}).get('value')}, that of medbench "
                f"evaluate {metric.value}.",
                "Build it again with this version.",
            )
    yield f"rehearsed in a {runner.name}: {len(own)} columns of {len(cases)} cases equal medbench evaluate's"
    yield f"{outcome.time_s:.1f} s; {result}"


def _stage_jobs(challenge: Challenge, cases: Sequence[Case], predictions: Path, root: Path) -> None:
    """``predictions.json`` with a job a case; a case without a prediction is a job that failed."""
    jobs: list[dict[str, Any]] = []
    for number, case in enumerate(cases):
        key = str(uuid.uuid5(uuid.NAMESPACE_OID, case.id))
        path = challenge.locate(case, predictions)
        style = ("socket", "interface")[number % 2]
        image = {"name": f"{Path(case.id).name}.mha"}
        sockets = {
            "inputs": {"slug": "image", "relative_path": "images/image"},
            "outputs": {"slug": "mask", "relative_path": _OUTPUT_FOLDER},
        }
        described = {kind: [{"image": image, style: socket}] for kind, socket in sockets.items()}
        jobs.append({"pk": key, "status": "Failed" if path is None else "Succeeded", **described})
        if path is None:
            continue
        folder = root / "input" / key / "output" / _OUTPUT_FOLDER
        folder.mkdir(parents=True)
        if images.suffix_of(path) in SUFFIXES:
            shutil.copyfile(path, folder / f"{key}{images.suffix_of(path)}")
        else:
            from medbench.io.nifti_mha import write_volume

            write_volume(folder / f"{key}.mha", images.read_labels(path))
    write_text(root / "input/predictions.json", json.dumps(jobs[::-1]))


def host_challenge(
    challenge: str,
    platform: str,
    data: Path | None,
    split: str | None,
    predictions: Path | None,
    output: Path,
    progress: Progress,
) -> Iterator[str]:
    """The steps of ``medbench submit host``, as lines for people.

    Raises:
        MedbenchError: ``platform.unknown``, and as :func:`host` and :func:`rehearse_host`.
    """
    known = next((name for name in HOSTS if name == platform), None)
    if known is None:
        raise unknown_name("platform", platform, HOSTS)
    hosted = host(challenge, known, data, split, output, progress)
    if known == "codabench":
        yield f"bundle: {hosted.folder / hosted.folder.name}.zip, uploaded under Benchmarks, Management"
    else:
        yield f"ground truth, uploaded apart: {hosted.truth}"
    yield f"image: docker build --platform linux/amd64 --tag {hosted.tag} {hosted.image}"
    if predictions is not None:
        yield from rehearse_host(hosted, predictions, progress)
