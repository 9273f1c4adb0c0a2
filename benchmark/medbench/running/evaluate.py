"""Evaluation of folders of predictions, as by ``medbench evaluate``."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Unpack

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_json
from medbench.core.folders import at_home
from medbench.core.guard import Failure, guarded
from medbench.core.named_predictions import named_predictions
from medbench.core.places import Places, command_line
from medbench.core.progress import Progress, SilentProgress
from medbench.core.result_table import CaseRow
from medbench.core.text import any_of, printable
from medbench.io.caches import content_sha256
from medbench.records.data_places import note_data_place
from medbench.records.identity import code_sha256, manifest_sha256, plugin_settings
from medbench.records.phases import Timing
from medbench.records.reading import KEY_LENGTH, PREDICTIONS, Finished
from medbench.records.schema import ModelRecord
from medbench.records.writing import NOTES, Provenance, Subject, make_record, now
from medbench.running.data import choose_cases, resolve_data
from medbench.running.finishing import store
from medbench.running.handed_in import check_given, located, opened_predictions, unused_notes
from medbench.running.loop import score_predictions
from medbench.running.pairs import refuse_rename
from medbench.running.references import add_references
from medbench.running.request import CaseRequest, ScoreKeywords, request_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(CaseRequest):
    """An evaluation as it is asked for.

    Attributes:
        predictions: the folder, or a zip of it; files at the challenge's own places, or all in one folder by
            name.
        name: what the leaderboard calls the entry; the folder's name if not given.
        rename: ``(old, new)``: a prediction's file name is its reference's with ``old`` replaced.
    """

    predictions: Path
    name: str | None = None
    rename: tuple[str, str] | None = None

    @property
    def title(self) -> str:
        """Title of the entry in the leaderboard."""
        return printable(self.name or self.predictions.resolve().name.removesuffix(".zip"))

    def command(self, for_record: bool = False) -> str:
        """The command that repeats the evaluation, with everything that decides its result.

        Args:
            for_record: write ``{data}`` and ``{predictions}`` instead of paths of this machine.
        """
        place = "{predictions}" if for_record else str(self.predictions)
        arguments = [*self.program(for_record), "evaluate", "-c", self.challenge, "--predictions", place]
        arguments += self.case_arguments(for_record)
        arguments += ["--name", self.title] if self.name else []
        arguments += ["--rename", "=".join(self.rename)] if self.rename else []
        return command_line(arguments) if for_record else shlex.join(arguments)


def evaluate(
    challenge: str,
    predictions: str | Path,
    *,
    name: str | None = None,
    rename: tuple[str, str] | None = None,
    workers: int | Executor = 2,
    progress: Progress | None = None,
    **keywords: Unpack[ScoreKeywords],
) -> Finished:
    """Score a folder of predictions of any origin, exactly as :func:`run` scores its own.

    Args:
        challenge: challenge name.
        predictions: the folder, or a zip of it; files at the challenge's own places, or all in one folder by
            name; or a name under ``[predictions]`` of the project file.
        name: what the leaderboard calls the entry; the folder's name if not given.
        rename: ``(old, new)``: a prediction's file name is its reference's with ``old`` replaced.
        workers: number of threads, or an executor whose workers see the same files.
        progress: display that counts the steps.
        keywords: ``data``, ``split``, ``cases``, ``seed`` of the resampling, ``runs`` and ``leaderboards``,
            as :class:`medbench.running.request.CaseRequest` says.

    Raises:
        MedbenchError: when the request cannot be met; failed cases are in the record instead.
    """
    request = evaluation_of(challenge, predictions, name=name, rename=rename, **keywords)
    return evaluate_request(request, scoring(request, workers), progress or SilentProgress())


def evaluation_of(
    challenge: str,
    predictions: str | Path,
    *,
    name: str | None = None,
    rename: tuple[str, str] | None = None,
    **keywords: Unpack[ScoreKeywords],
) -> Evaluation:
    """The evaluation that keywords as those of :func:`evaluate` ask for; what they leave out is as declared.

    Raises:
        MedbenchError: as :func:`medbench.core.named_predictions.named_predictions`.
    """
    fields = request_fields(keywords)
    folder = at_home(predictions)
    own = named_predictions(str(predictions))
    if own is not None:
        folder, name, rename = own.folder, name or own.title, rename or own.rename
    return Evaluation(challenge=challenge, predictions=folder, name=name, rename=rename, **fields)


@dataclass(frozen=True, slots=True)
class Opened:
    """An evaluation whose cases and predictions are at hand.

    Attributes:
        challenge: the challenge.
        cases: those to score.
        predictions: the folder of predictions, of an archive the unpacked one.
        folder: run directory.
        places: paths that rows are to name by words.
        progress: told of every case.
    """

    challenge: Challenge
    cases: Sequence[Case]
    predictions: Path
    folder: Path
    places: Places
    progress: Progress


Scoring = Callable[[Opened], tuple[list[CaseRow], Timing]]


def scoring(request: Evaluation, workers: int | Executor) -> Scoring:
    """How an evaluation's rows are made: by threads, or by an executor whose workers see the same files."""

    def score(subject: Opened) -> tuple[list[CaseRow], Timing]:
        return score_predictions(
            subject.challenge,
            subject.cases,
            subject.predictions if isinstance(workers, int) else subject.predictions.resolve(),
            subject.folder,
            subject.progress,
            rename=request.rename,
            workers=workers,
            places=subject.places,
        )

    return score


def evaluate_request(request: Evaluation, score: Scoring, progress: Progress) -> Finished:
    """The evaluation with the rows that ``score`` gives for all its cases.

    Raises:
        MedbenchError: as :func:`evaluate`.
    """
    start_time = now()
    request.check_places()
    with opened_subject(request, progress) as (subject, predictions):
        return _scored(request, subject, predictions, score, (start_time, progress))


@contextlib.contextmanager
def opened_subject(request: Evaluation, progress: Progress) -> Iterator[tuple[Subject, Path]]:
    """Cases and folder of predictions of an evaluation, for as long as the block runs.

    Raises:
        MedbenchError: as :func:`evaluate`.
    """
    check_given(request.predictions)
    challenge = request.load_challenge()
    split = request.split or challenge.release.default_split
    data = resolve_data(challenge, request.data, progress)
    cases = choose_cases(challenge.cases(data.root, split), request.cases)
    subject = Subject(challenge, data, split, cases, manifest_sha256(data.root, cases))
    refuse_rename(request.rename, [Path(challenge.exchange.prediction_name(case)).name for case in cases])
    with opened_predictions(challenge, cases, request.predictions, request.rename) as predictions:
        yield subject, predictions


def _scored(
    request: Evaluation, subject: Subject, predictions: Path, score: Scoring, clock: tuple[str, Progress]
) -> Finished:
    """Score the files of an opened folder and leave record, report and board row."""
    challenge, cases = subject.challenge, subject.cases
    start_time, progress = clock
    paths = [located(challenge, case, predictions, request.rename) for case in cases]
    key = _key(request, subject, _digests(request, subject, paths))
    folder = request.runs_root / challenge.name / PREDICTIONS / key[:KEY_LENGTH]
    folders = {"predictions": request.predictions} if request.predictions.is_dir() else {}
    note_data_place(key, data=subject.data.root, **folders)
    places = places_of(request, subject, predictions)
    rows, timing = score(Opened(challenge, cases, predictions, folder, places, progress))
    notes = [
        printable(note, None)
        for note in unused_notes(predictions, [path for path in paths if isinstance(path, Path)])
    ]
    for note in notes:
        progress.say(f"{request.predictions}: {note}.")
    provenance = Provenance(
        key=key,
        model=ModelRecord(name="predictions", title=request.title, weights="foreign"),
        settings={"cases": request.cases, **plugin_settings(), **({NOTES: notes} if notes else {})},
        seed=request.seed,
        device="cpu",
        command=request.command(for_record=True),
        citations=[challenge.card.citation],
        started=start_time,
    )
    record = make_record(subject, rows, timing, provenance)
    result = Finished(record, rows, folder, command=request.command())
    board = request.boards_root if request.cases == "*" else None
    result = store(result, challenge, cases, predictions, board)
    if board is not None:
        add_references(subject, request, progress)
    return result


def places_of(request: Evaluation, subject: Subject, predictions: Path) -> Places:
    """The paths of an evaluation by the words that name them in rows."""
    return Places.of({"data": subject.data.root, "predictions": predictions, "runs": request.runs_root})


def _digests(request: Evaluation, subject: Subject, paths: Sequence[Path | Failure | None]) -> list[str]:
    """SHA-256 of each case's prediction, or why there is none.

    Raises:
        MedbenchError: ``predictions.none`` when no case has one, or the one failure that all cases share,
            such as that of a table of predictions without its header.
    """
    reasons = {path.reason if isinstance(path, Failure) else None for path in paths}
    first = paths[0]
    if len(paths) > 1 and len(reasons) == 1 and isinstance(first, Failure):
        raise MedbenchError(first.code, first.reason, first.hint)
    if not any(paths):
        example = subject.challenge.exchange.prediction_name(subject.cases[0])
        raise MedbenchError(
            "predictions.none",
            f"{request.predictions}: holds no file for {any_of(len(paths), 'case')}, for example {example}"
            f"{_first_file(request.predictions)}.",
            "Name predictions as the challenge does. --rename changes the challenge's names into the "
            "folder's: --rename .png=_pred.png.",
        )
    digests = []
    for path in paths:
        digest = guarded("", partial(content_sha256, path, "prediction")) if isinstance(path, Path) else path
        digests.append(digest.code if isinstance(digest, Failure) else digest or "missing")
    return digests


def _first_file(folder: Path) -> str:
    """Says which file lies there."""
    first = next((path for path in sorted(folder.rglob("*")) if path.is_file()), None)
    return "; it is empty" if first is None else f"; it holds {printable(str(first.relative_to(folder)))}"


def _key(request: Evaluation, subject: Subject, digests: list[str]) -> str:
    """Hash of everything that decides an evaluation's result."""
    return sha256_json(
        {
            "predictions": digests,
            "challenge": subject.challenge.name,
            "split": subject.split,
            "data": subject.data.kind,
            "manifest": subject.manifest_sha256,
            "name": request.title,
            "seed": request.seed,
            **plugin_settings(),
            "code": code_sha256(),
        }
    )
