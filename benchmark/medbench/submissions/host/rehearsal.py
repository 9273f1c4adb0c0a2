"""The rehearsal of an evaluation program: it must give the numbers of ``medbench evaluate``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.files import read_json
from medbench.core.progress import Progress
from medbench.core.text import agreeing, counted
from medbench.running.evaluate import evaluate
from medbench.submissions.build.dockerfile import APP
from medbench.submissions.build.locking import gather
from medbench.submissions.containers.engines import Engine
from medbench.submissions.containers.image_runner import ImageRunner
from medbench.submissions.containers.runners import RelocatedRunner, usable_threads
from medbench.submissions.containers.users import container_user
from medbench.submissions.host import codabench, grand_challenge
from medbench.submissions.host.program import COMMANDS, MOUNTS, RUNS_AS, TIME_S, EvaluationProgram
from medbench.submissions.platforms.grand_challenge import LIMITS


def rehearse_host(
    evaluation: EvaluationProgram, predictions: Path, progress: Progress, engine: Engine | None = None
) -> Iterator[str]:
    """Run the program on predictions as the platform does, and compare it with ``medbench evaluate``.

    Args:
        evaluation: the program, written by :func:`medbench.submissions.host.package.host`.
        predictions: folder of label maps, as ``medbench evaluate`` takes it; or, with ingestion, of a
            participant's program, which is run first.
        progress: gets a line for every step.
        engine: builds the image and runs it under the platform's limits; without one the program runs in a
            relocated root.

    Raises:
        MedbenchError: ``host.failed`` when it ends with an error, ``host.differs`` naming the column, and as
            :func:`medbench.running.evaluate.evaluate` and :meth:`Engine.build`.
    """
    name, work = evaluation.folder.name, evaluation.folder / "rehearsal"
    root = work / "root"
    shutil.rmtree(work, ignore_errors=True)
    if evaluation.request.ingestion and (predictions / codabench.PREDICT).is_file():
        predictions = codabench.run_ingestion(evaluation, predictions, work / "ingestion", engine)
    hosts_results = evaluation.platform == "codabench"
    stage = codabench.stage_results if hosts_results else grand_challenge.stage_jobs
    result = stage(evaluation, predictions, root)
    runner = (
        _relocated(evaluation, work, root) if engine is None else _image(evaluation, engine, root, progress)
    )
    outcome = runner.run(COMMANDS[evaluation.platform] if engine else (), TIME_S)
    if not outcome.ok or outcome.denied:
        reason = outcome.denied[0] if outcome.denied else outcome.last_line
        hint = "Correct the predictions that it names, or the program where it was changed."
        raise MedbenchError("host.failed", f"{name}: ended with {outcome.code}: {reason}", hint)
    own = evaluate(
        evaluation.challenge.name,
        predictions,
        data=evaluation.root,
        split=evaluation.split,
        runs=work,
        leaderboards=work,
        progress=progress,
    ).record.metrics
    _compare(name, {key: metric.value for key, metric in own.items()}, read_json(result)["aggregates"])
    columns, cases = counted(len(own), "column"), counted(len(evaluation.cases), "case")
    equal = agreeing(len(own), "equals", "equal")
    yield f"rehearsed in a {runner.name}: {columns} of {cases} {equal} medbench evaluate's"
    yield f"{outcome.time_s:.1f} s; {result}"


def _compare(name: str, own: Mapping[str, float | None], aggregates: Mapping[str, Any]) -> None:
    for column, value in own.items():
        if column not in aggregates or aggregates[column]["value"] != value:
            raise MedbenchError(
                "host.differs",
                f"{name}: {column} is {aggregates.get(column, {}).get('value')}, that of medbench "
                f"evaluate {value}.",
                "Build it again with this version.",
            )


def _relocated(evaluation: EvaluationProgram, work: Path, root: Path) -> RelocatedRunner:
    place = root / ("app/program" if evaluation.platform == "codabench" else APP.lstrip("/"))
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(evaluation.program.resolve(), target_is_directory=True)
    packages = work / "packages"
    gather(evaluation.packages(), packages, link=True)
    writable = [mount.path for mount in MOUNTS[evaluation.platform] if mount.writable]
    script = (place / "evaluate.py").absolute()
    return RelocatedRunner(root.resolve(), packages.resolve(), script, writable, usable_threads())


def _image(evaluation: EvaluationProgram, engine: Engine, root: Path, progress: Progress) -> ImageRunner:
    progress.say(f"Building {evaluation.tag} with {engine.name}.")
    engine.build(evaluation.image, evaluation.tag)
    mounts = MOUNTS[evaluation.platform]
    user = container_user(RUNS_AS[evaluation.platform], engine.name)
    runner = ImageRunner(engine, evaluation.tag, root, mounts, LIMITS, user=user)
    for mount in mounts:
        if mount.writable:
            runner.hand_over(root / mount.path.lstrip("/"))
    return runner
