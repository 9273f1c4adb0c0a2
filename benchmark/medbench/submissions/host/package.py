"""The organisers' side: a challenge's scoring as the evaluation program of a platform, and its rehearsal."""

from __future__ import annotations

import json
import shutil
import tarfile
import textwrap
import uuid
from collections.abc import Iterator, Mapping, Sequence
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
from medbench.core.package import copy_package
from medbench.core.progress import Progress
from medbench.core.registry import unknown_name
from medbench.io import images
from medbench.io.raster import write_image
from medbench.records.environment import git_state
from medbench.running.data import resolve_data
from medbench.running.evaluate import evaluate
from medbench.submissions.build.context import (
    APP,
    TORCH_INDEX,
    USER,
    anonymous,
    package_lines,
    python_image,
    user_lines,
)
from medbench.submissions.build.locking import (
    LOCK,
    NETWORKS,
    evaluation_packages,
    gather,
    lock,
    requirement_lines,
)
from medbench.submissions.containers import archives
from medbench.submissions.containers.engines import Engine, ImageRunner, find_engine
from medbench.submissions.containers.runners import RelocatedRunner, usable_threads
from medbench.submissions.description import Packages
from medbench.submissions.host.serving import FACTS
from medbench.submissions.platforms.base import Mount
from medbench.submissions.platforms.codalab import TEMPLATES
from medbench.submissions.platforms.grand_challenge import LIMITS
from medbench.submissions.rehearse.rehearsal import make_readable
from medbench.submissions.serving.pictures import SUFFIXES

Host = Literal["grand-challenge", "codabench"]
HOSTS: tuple[Host, ...] = ("grand-challenge", "codabench")
INGESTION, INPUT_DATA = "ingestion_program", "input_data"
PREDICT = "predict.py"
_RULES = """
Hand in a zip with `predict.py` at its top and whatever it needs. It is called once, without the network, as
`python predict.py INPUT OUTPUT`. `INPUT/cases.json` lists every case: `inputs`, its files below INPUT, and
`output`, the name that its prediction takes below OUTPUT. A case without one is scored as missing.
"""
TRUTH = "/opt/ml/input/data/ground_truth"
MOUNTS: Mapping[Host, Sequence[Mount]] = {
    "grand-challenge": (Mount("/input", "input"), Mount("/output", "output", True), Mount(TRUTH, "input")),
    "codabench": (
        Mount("/app/program", "input"),
        Mount("/app/input/ref", "input"),
        Mount("/app/input/res", "input"),
        Mount("/app/output", "output", True),
    ),
}
INGESTION_MOUNTS = (
    *(Mount(f"/app/{name}", "input") for name in ("program", "input_data", "ingested_program")),
    Mount("/app/output", "output", True),
)
_COMMANDS: Mapping[Host, Sequence[str]] = {
    "grand-challenge": (),
    "codabench": ("python3", "/app/program/evaluate.py"),
}
TIME_S = 3600
PHASE_START = "2026-01-01"
_OUTPUT_FOLDER = "images/segmentation"
_PROGRAM = '''"""Score what was handed in; medbench finds it by the platform's layout."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from medbench.submissions.host.serving import run  # noqa: E402

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
        ingestion: whether participants hand in programs, on Codabench, and no results.
    """

    challenge: Challenge
    platform: Host
    split: str
    root: Path
    folder: Path
    ingestion: bool = False

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
    challenge: str,
    platform: Host,
    data: Path | None,
    split: str | None,
    output: Path,
    progress: Progress,
    packages: Packages = "index",
    *,
    ingestion: bool = False,
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
        packages: as in a submission's ``[image]``: where the image's packages come from.
        ingestion: of Codabench: participants hand in programs, which an ingestion program runs.

    Raises:
        MedbenchError: ``host.no_reference`` for a split whose references are not there, ``host.ingestion``
            where participants' programs cannot be run.
    """
    loaded = load_challenge(challenge)
    chosen = split or loaded.release.default_split
    loaded.release.check_split(chosen)
    root = resolve_data(loaded, data, progress).root
    cases = loaded.cases(root, chosen)
    bare = next((case.id for case in cases if not case.reference), None)
    if bare is not None:
        raise MedbenchError(
            "host.no_reference", f"{bare}: has no reference to score with.", "Choose another --split."
        )
    if ingestion:
        _check_ingestion(platform, cases)
    name = f"{challenge}-evaluation-{platform}".replace("_", "-")
    hosted = Hosted(loaded, platform, chosen, root, output / name, ingestion)
    shutil.rmtree(hosted.folder, ignore_errors=True)
    _write_program(hosted)
    truth = sorted({path for case in cases for path in (*case.inputs.values(), *case.reference.values())})
    files = [*truth, *(path for path in sorted(root.glob("*")) if path.is_file() and path not in truth)]
    if platform == "codabench":
        _write_image(hosted, packages)
        if ingestion:
            _write_ingestion(hosted, cases)
        _write_bundle(hosted, files)
    else:
        run = f'ENTRYPOINT ["python", "{APP}/evaluate.py"]'
        program = (*user_lines(), f"COPY app {APP}", f"WORKDIR {APP}", f"USER {USER}:{USER}", run)
        _write_image(hosted, packages, *program)
        with atomic_path(hosted.truth) as temporary, tarfile.open(temporary, "w:gz") as archive:
            for path in files:
                archive.add(path.resolve(), arcname=path.relative_to(root).as_posix(), filter=anonymous)
    return hosted


def _check_ingestion(platform: Host, cases: Sequence[Case]) -> None:
    if platform != "codabench":
        raise MedbenchError(
            "host.ingestion", f"{platform} has no ingestion programs.", "Choose --platform codabench."
        )
    for case in cases:
        if set(case.inputs.values()) & set(case.reference.values()):
            raise MedbenchError(
                "host.ingestion",
                f"{case.id}: its reference lies in the file of its input, so participants would see it.",
                "Take results, without --ingestion.",
            )


def _write_ingestion(hosted: Hosted, cases: Sequence[Case]) -> None:
    """The ingestion program, and the input data without anything of the references."""
    program, data = hosted.folder / "bundle" / INGESTION, hosted.folder / "bundle" / INPUT_DATA
    write_text(program / "metadata.yaml", "command: python3 /app/program/ingestion.py\n")
    write_text(program / "ingestion.py", (TEMPLATES / "codabench_ingestion.py").read_text(encoding="utf-8"))
    listed = []
    for case in cases:
        inputs = {name: path.relative_to(hosted.root) for name, path in case.inputs.items()}
        for name, relative in inputs.items():
            (data / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(case.inputs[name], data / relative)
        output = hosted.challenge.exchange.prediction_name(case)
        listed.append(
            {
                "case": case.id,
                "inputs": {name: path.as_posix() for name, path in inputs.items()},
                "output": str(output),
            }
        )
    write_json(data / "cases.json", listed)


def _write_program(hosted: Hosted) -> None:
    copy_package(hosted.program / "medbench", "evaluation")
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
    scoring = evaluation_packages(slides=hosted.challenge.card.slide_settings is not None)
    return lock([*scoring, *(NETWORKS if hosted.ingestion else ())])


def _write_image(hosted: Hosted, packages: Packages, *program: str) -> None:
    """The Dockerfile of what the program needs, and its lock; ``program`` are the lines that put it in."""
    locked = _locked(hosted)
    write_text(hosted.image / LOCK, "\n".join(requirement_lines(locked, "cpu")) + "\n")
    if packages == "vendored":
        gather(locked, hosted.image / "site-packages")
    text = package_lines(python_image(), packages, TORCH_INDEX["cpu"] if hosted.ingestion else None)
    text += [f"LABEL {name}={json.dumps(value)}" for name, value in _labels(hosted).items()]
    text += program
    write_text(hosted.image / "Dockerfile", "\n".join(text) + "\n")


def _labels(hosted: Hosted) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": hosted.folder.name,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": __version__,
        "medbench.challenge": hosted.challenge.name,
    }


def _write_bundle(hosted: Hosted, files: Sequence[Path]) -> None:
    """``competition.yaml`` with one phase and task, the scoring program and the reference data."""
    import yaml

    bundle, challenge = hosted.folder / "bundle", hosted.challenge
    write_text(bundle / "scoring_program" / "metadata.yaml", "command: python3 /app/program/evaluate.py\n")
    for path in files:
        target = bundle / "reference_data" / path.relative_to(hosted.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    write_image(bundle / "logo.png", _logo(challenge.title))
    for page in ("overview", "terms"):
        rules = _RULES if hosted.ingestion and page == "overview" else ""
        write_text(bundle / f"{page}.md", f"# {challenge.title}\n\n{challenge.card.citation}\n{rules}")
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
        "description": challenge.card.summary,
        "image": "logo.png",
        "docker_image": hosted.tag,
        "terms": "terms.md",
        "pages": [{"title": "Overview", "file": "overview.md"}],
        "tasks": [
            {
                "index": 0,
                "name": challenge.card.summary,
                "scoring_program": "scoring_program",
                "reference_data": "reference_data",
                **({"ingestion_program": INGESTION, "input_data": INPUT_DATA} if hosted.ingestion else {}),
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


def rehearse_host(
    hosted: Hosted, predictions: Path, progress: Progress, engine: Engine | None = None
) -> Iterator[str]:
    """Run the program on predictions as the platform does; it must give the numbers of ``medbench evaluate``.

    Args:
        hosted: what :func:`host` wrote.
        predictions: folder of label maps, as ``medbench evaluate`` takes it; or, with ingestion, of a
            participant's program, which is run first.
        progress: told what happens.
        engine: builds the image and runs it under the platform's limits; without one the program runs in a
            relocated root.

    Raises:
        MedbenchError: ``host.failed`` when it ends with an error, ``host.differs`` naming the column, and as
            :func:`medbench.running.evaluate.evaluate` and :meth:`Engine.build`.
    """
    work = hosted.folder / "rehearsal"
    root = work / "root"
    shutil.rmtree(work, ignore_errors=True)
    cases = hosted.challenge.cases(hosted.root, hosted.split)
    stage = _stage_codabench if hosted.platform == "codabench" else _stage_grand_challenge
    if hosted.ingestion and (predictions / PREDICT).is_file():
        predictions = _ingest(hosted, predictions, work / "ingestion", engine)
    result = stage(hosted, cases, predictions, root)
    runner = _relocated(hosted, work, root) if engine is None else _image(hosted, engine, root, progress)
    outcome = runner.run(_COMMANDS[hosted.platform] if engine else (), TIME_S)
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


def _ingest(hosted: Hosted, code: Path, root: Path, engine: Engine | None) -> Path:
    """Run the ingestion program on a participant's folder; the folder of predictions.

    Raises:
        MedbenchError: ``host.ingestion`` with the line that the participant sees.
    """
    bundle = hosted.folder / "bundle"
    for name in ("app/output", "tmp"):
        (root / name).mkdir(parents=True)
    for name, source in (
        ("program", bundle / INGESTION),
        ("input_data", bundle / INPUT_DATA),
        ("ingested_program", code),
    ):
        (root / "app" / name).symlink_to(source.resolve(), target_is_directory=True)
    output = root / "app/output"
    if engine is None:
        packages = root.parent / "packages"
        gather(_locked(hosted), packages, link=True)
        script = (root / "app/program/ingestion.py").absolute()
        own = root.resolve(), packages.resolve(), script, ["/app/output"], usable_threads()
        outcome = RelocatedRunner(*own).run((), TIME_S)
    else:
        engine.build(hosted.image, hosted.tag)
        output.chmod(0o777)
        runner = ImageRunner(engine, hosted.tag, root, INGESTION_MOUNTS, LIMITS)
        outcome = runner.run(("python3", "/app/program/ingestion.py"), TIME_S)
    if not outcome.ok:
        told = outcome.last_line.removeprefix("error: ")
        raise MedbenchError("host.ingestion", f"{code}: {told}", f"Correct its {PREDICT}.")
    return output


def _stage_codabench(hosted: Hosted, cases: Sequence[Case], predictions: Path, root: Path) -> Path:
    """Program, references and results below ``root``; the file that the program is to write."""
    (root / "app/input").mkdir(parents=True)
    (root / "app/output").mkdir()
    (root / "tmp").mkdir()
    (root / "app/program").symlink_to(hosted.program.resolve(), target_is_directory=True)
    (root / "app/input/ref").symlink_to((hosted.folder / "bundle/reference_data").resolve())
    (root / "app/input/res").symlink_to(predictions.resolve())
    return root / "app/output/details.json"


def _stage_grand_challenge(hosted: Hosted, cases: Sequence[Case], predictions: Path, root: Path) -> Path:
    """Jobs and ground truth below ``root``; the file that the program is to write."""
    for name in ("input", "output", "tmp"):
        (root / name).mkdir(parents=True)
    _stage_jobs(hosted.challenge, cases, predictions, root)
    with tarfile.open(hosted.truth) as archive:
        archive.extractall(root / TRUTH.lstrip("/"), filter="data")
    for name in ("input", TRUTH.lstrip("/")):
        make_readable(root / name)
    return root / "output/metrics.json"


def _relocated(hosted: Hosted, work: Path, root: Path) -> RelocatedRunner:
    place = root / ("app/program" if hosted.platform == "codabench" else APP.lstrip("/"))
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(hosted.program.resolve(), target_is_directory=True)
    packages = work / "packages"
    gather(_locked(hosted), packages, link=True)
    writable = [mount.path for mount in MOUNTS[hosted.platform] if mount.writable]
    script = (place / "evaluate.py").absolute()
    return RelocatedRunner(root.resolve(), packages.resolve(), script, writable, usable_threads())


def _image(hosted: Hosted, engine: Engine, root: Path, progress: Progress) -> ImageRunner:
    progress.say(f"Building {hosted.tag} with {engine.name}.")
    engine.build(hosted.image, hosted.tag)
    for mount in MOUNTS[hosted.platform]:
        if mount.writable:
            (root / mount.path.lstrip("/")).chmod(0o777)
    return ImageRunner(engine, hosted.tag, root, MOUNTS[hosted.platform], LIMITS)


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
    packages: Packages = "index",
    engine: str = "none",
    *,
    ingestion: bool = False,
) -> Iterator[str]:
    """The steps of ``medbench submit host``, as lines for people.

    Raises:
        MedbenchError: ``platform.unknown``, and as :func:`host`, :func:`find_engine` and
            :func:`rehearse_host`.
    """
    known = next((name for name in HOSTS if name == platform), None)
    if known is None:
        raise unknown_name("platform", platform, HOSTS)
    found = find_engine(engine)
    hosted = host(challenge, known, data, split, output, progress, packages, ingestion=ingestion)
    if known == "codabench":
        yield f"bundle: {hosted.folder / hosted.folder.name}.zip, uploaded under Benchmarks, Management"
    else:
        yield f"ground truth, uploaded apart: {hosted.truth}"
    yield f"image: docker build --platform linux/amd64 --tag {hosted.tag} {hosted.image}"
    if predictions is not None:
        yield from rehearse_host(hosted, predictions, progress, found)
