"""Rows that every table of a challenge shows beside models: chance, people …"""

from __future__ import annotations

from medbench.core.files import sha256_json
from medbench.core.guard import describe
from medbench.core.places import Places, command_line
from medbench.core.progress import Progress
from medbench.leaderboards.results import read_results
from medbench.records.identity import code_sha256
from medbench.records.reading import KEY_LENGTH, Finished
from medbench.records.schema import ModelRecord
from medbench.records.writing import Provenance, Subject, make_record, now
from medbench.running.finishing import store
from medbench.running.loop import score_predictions
from medbench.running.request import CaseRequest


def add_references(subject: Subject, request: CaseRequest, progress: Progress) -> None:
    """Score the challenge's reference answers on the same cases, and add their rows to the leaderboard.

    Rows that are there already are kept. A case whose reference answer cannot be made is missing in that row.

    Args:
        subject: what was scored.
        request: where results go.
        progress: told of every step.
    """
    challenge = subject.challenge
    there = {row["key"] for row in read_results(request.boards_root, challenge.name)}
    for name, answer in challenge.exchange.reference_answers.items():
        key = sha256_json(
            {
                "reference": name,
                "challenge": challenge.name,
                "split": subject.split,
                "data": subject.data.kind,
                "manifest": subject.manifest_sha256,
                "code": code_sha256(),
            }
        )
        if key in there:
            continue
        start_time = now()
        folder = request.runs_root / challenge.name / "references" / key[:KEY_LENGTH]
        progress.say(f"Reference row of the tables: {name}.")
        for case in subject.cases:
            try:
                answer(case, folder / "predictions")
            except Exception as error:  # noqa: BLE001 - one bad case never loses the others
                progress.say(f"{case.id}: {describe(error)}")
        places = Places.of({"data": subject.data.root, "runs": request.runs_root})
        rows, timing = score_predictions(
            challenge, subject.cases, folder / "predictions", folder, progress, places=places
        )
        arguments = ["medbench", "leaderboard", "references", "-c", challenge.name, "--split", subject.split]
        arguments += ["--data", "{data}"] if request.data is not None else []
        provenance = Provenance(
            key=key,
            model=ModelRecord(name="reference", title=name, weights="foreign"),
            settings={"cases": "*", "reference_row": True},
            seed=request.seed,
            device="cpu",
            command=command_line(arguments),
            citations=[challenge.card.citation],
            started=start_time,
        )
        result = Finished(make_record(subject, rows, timing, provenance), rows, folder)
        store(result, challenge, subject.cases, folder / "predictions", request.boards_root)


def build_references(request: CaseRequest, progress: Progress) -> None:
    """The reference rows of a challenge's split, without any model.

    Raises:
        MedbenchError: ``references.none`` for a challenge that has none, and as ``medbench evaluate``.
    """
    from medbench.core.errors import MedbenchError
    from medbench.records.identity import manifest_sha256
    from medbench.running.data import resolve_data

    challenge = request.load_challenge()
    if not challenge.exchange.reference_answers:
        raise MedbenchError(
            "references.none", f"Tables of {challenge.title} have no reference rows.", "Run a model."
        )
    split = request.split or challenge.release.default_split
    data = resolve_data(challenge, request.data, progress)
    cases = challenge.cases(data.root, split)
    subject = Subject(challenge, data, split, cases, manifest_sha256(data.root, cases))
    add_references(subject, request, progress)
