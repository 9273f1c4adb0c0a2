"""Codabench's competition bundle: scoring, references, and, where programs are submitted, the ingestion."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json, write_text
from medbench.io.raster import write_image
from medbench.records.tables import heading
from medbench.submissions.build.locking import gather
from medbench.submissions.containers import archives
from medbench.submissions.containers.engines import Engine
from medbench.submissions.containers.image_runner import ImageRunner
from medbench.submissions.containers.runners import RelocatedRunner, usable_threads
from medbench.submissions.containers.users import container_user
from medbench.submissions.host.program import TIME_S, EvaluationProgram, Host
from medbench.submissions.platforms.base import Mount
from medbench.submissions.platforms.codalab import TEMPLATES
from medbench.submissions.platforms.grand_challenge import LIMITS

INGESTION, INPUT_DATA = "ingestion_program", "input_data"
PREDICT = "predict.py"
INGESTION_MOUNTS = (
    *(Mount(f"/app/{name}", "input") for name in ("program", "input_data", "ingested_program")),
    Mount("/app/output", "output", True),
)
PHASE_START = "2026-01-01"
_RESULTS = """
Hand in a zip of one file a case, {count} in all, as `medbench predict -c {challenge}` writes them, under
these names: {names}. A case without a file is scored as missing. Failed and missing cases: {rule}
"""
_PROGRAMS = """
Hand in a zip with `predict.py` at its top and whatever it needs. It is called once, without the network, as
`python predict.py INPUT OUTPUT`. `INPUT/cases.json` lists every case: `inputs`, its files below INPUT, and
`output`, the name that its prediction takes below OUTPUT. A case without one is scored as missing.
"""


def check_ingestion(platform: Host, cases: Sequence[Case]) -> None:
    """Refuse participants' programs on platforms without ingestion, or where they would see a reference.

    Raises:
        MedbenchError: ``host.ingestion``.
    """
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


def write_ingestion(evaluation: EvaluationProgram) -> None:
    """Write the ingestion program, and the input data without anything of the references."""
    bundle = evaluation.folder / "bundle"
    program, data = bundle / INGESTION, bundle / INPUT_DATA
    write_text(program / "metadata.yaml", "command: python3 /app/program/ingestion.py\n")
    write_text(program / "ingestion.py", (TEMPLATES / "codabench_ingestion.py").read_text(encoding="utf-8"))
    entries = []
    for case in evaluation.cases:
        inputs = {name: path.relative_to(evaluation.root) for name, path in case.inputs.items()}
        for name, relative in inputs.items():
            (data / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(case.inputs[name], data / relative)
        entries.append(
            {
                "case": case.id,
                "inputs": {name: path.as_posix() for name, path in inputs.items()},
                "output": str(evaluation.challenge.exchange.prediction_name(case)),
            }
        )
    write_json(data / "cases.json", entries)


def write_bundle(evaluation: EvaluationProgram) -> None:
    """Zip ``competition.yaml`` with one phase and task, the scoring program and the reference data."""
    import yaml

    bundle, challenge = evaluation.folder / "bundle", evaluation.challenge
    write_text(bundle / "scoring_program" / "metadata.yaml", "command: python3 /app/program/evaluate.py\n")
    for path in evaluation.files:
        target = bundle / "reference_data" / path.relative_to(evaluation.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    write_image(bundle / "logo.png", _logo(challenge.title))
    for page in ("overview", "terms"):
        rules = _rules(evaluation) if page == "overview" else ""
        write_text(bundle / f"{page}.md", f"# {challenge.title}\n\n{challenge.card.citation}\n{rules}")
    content = yaml.safe_dump(_competition(evaluation), sort_keys=False, allow_unicode=True)
    write_text(bundle / "competition.yaml", content)
    archives.write_zip(bundle, evaluation.archive)


def _rules(evaluation: EvaluationProgram) -> str:
    """What participants hand in, and what each column of the leaderboard is."""
    challenge, cases = evaluation.challenge, evaluation.cases
    names = [challenge.exchange.prediction_name(case) for case in cases[:2]]
    rules = _RESULTS.format(
        count=len(cases),
        challenge=challenge.name,
        names=", ".join(f"`{name}`" for name in names) + (" …" if len(cases) > len(names) else ""),
        rule=challenge.card.failure_rule,
    )
    columns = [f"* {heading(metric)}: definition `{metric.convention}`" for metric in challenge.metrics]
    return (_PROGRAMS if evaluation.request.ingestion else rules) + "\n" + "\n".join(columns) + "\n"


def _competition(evaluation: EvaluationProgram) -> dict[str, Any]:
    challenge, ingestion = evaluation.challenge, evaluation.request.ingestion
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
    phase = {"index": 0, "name": evaluation.split, "tasks": [0], "start": PHASE_START}
    return {
        "version": 2,
        "title": f"SYNTHETIC: {challenge.title}" if evaluation.is_synthetic else challenge.title,
        "description": challenge.card.summary,
        "image": "logo.png",
        "docker_image": evaluation.pushed_tag,
        "terms": "terms.md",
        "pages": [{"title": "Overview", "file": "overview.md"}],
        "tasks": [
            {
                "index": 0,
                "name": challenge.card.summary,
                "scoring_program": "scoring_program",
                "reference_data": "reference_data",
                **({"ingestion_program": INGESTION, "input_data": INPUT_DATA} if ingestion else {}),
            }
        ],
        "phases": [phase | {"execution_time_limit": TIME_S}],
        "leaderboards": [{"index": 0, "title": "Results", "key": "results", "columns": columns}],
    }


def _logo(title: str) -> npt.NDArray[np.uint8]:
    """The logo that a bundle must have: the title on a plain ground."""
    import cv2

    logo = np.full((200, 400, 3), (32, 60, 92), np.uint8)
    for line, text in enumerate(textwrap.wrap(title, 20)[:3]):
        place = 20, 70 + 45 * line
        cv2.putText(logo, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2, cv2.LINE_AA)
    return logo


def run_ingestion(evaluation: EvaluationProgram, code: Path, root: Path, engine: Engine | None) -> Path:
    """Run the ingestion program on a participant's folder; the folder of predictions.

    Raises:
        MedbenchError: ``host.ingestion`` with the line that the participant sees.
    """
    bundle = evaluation.folder / "bundle"
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
        gather(evaluation.packages(), packages, link=True)
        script = (root / "app/program/ingestion.py").absolute()
        own = root.resolve(), packages.resolve(), script, ["/app/output"], usable_threads()
        outcome = RelocatedRunner(*own).run((), TIME_S)
    else:
        engine.build(evaluation.image, evaluation.tag)
        runner = ImageRunner(
            engine, evaluation.tag, root, INGESTION_MOUNTS, LIMITS, user=container_user("root", engine.name)
        )
        runner.hand_over(output)
        outcome = runner.run(("python3", "/app/program/ingestion.py"), TIME_S)
    if not outcome.ok:
        reason = outcome.last_line.removeprefix("error: ")
        raise MedbenchError("host.ingestion", f"{code}: {reason}", f"Correct its {PREDICT}.")
    return output


def stage_results(evaluation: EvaluationProgram, predictions: Path, root: Path) -> Path:
    """Copy program, references and results below ``root``; the path of the program's output."""
    (root / "app/input").mkdir(parents=True)
    (root / "app/output").mkdir()
    (root / "tmp").mkdir()
    (root / "app/program").symlink_to(evaluation.program.resolve(), target_is_directory=True)
    (root / "app/input/ref").symlink_to((evaluation.folder / "bundle/reference_data").resolve())
    (root / "app/input/res").symlink_to(predictions.resolve())
    return root / "app/output/details.json"
