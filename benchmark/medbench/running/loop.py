"""The loop over cases: reading ahead, predicting, writing and scoring behind, with a journal to resume."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.files import sha256_file
from medbench.core.guard import Failure, guarded
from medbench.core.places import Places
from medbench.core.plugins import load_plugin, loaded_plugins
from medbench.core.progress import Progress
from medbench.core.project import project_path, use_project
from medbench.core.result_table import REFUSAL, CaseRow, CaseScores, CaseStatus
from medbench.core.sample import AnySample, Prediction
from medbench.core.score import Score
from medbench.core.task import check_answers
from medbench.core.text import printable
from medbench.inference.predictor import Predictor
from medbench.io.caches import content_sha256
from medbench.records.identity import code_sha256
from medbench.records.phases import Timing
from medbench.running.call_engine import Lost, check_code, in_turn, spread
from medbench.running.handed_in import alike_hint
from medbench.running.journal import LONGEST_REASON, journalled, shared_row, write_journal
from medbench.running.together import answers_together, in_chunks, shares_batches

READ_AHEAD = 2
READERS = 4
BEHIND = 4
FINISHERS = 2


def predict_and_score(
    challenge: Challenge,
    cases: Sequence[Case],
    predictor: Callable[[], Predictor],
    folder: Path,
    progress: Progress,
    *,
    read: Callable[[Case], AnySample] | None = None,
    score: bool = True,
    places: Places | None = None,
) -> tuple[list[CaseRow], Timing]:
    """Predict and score the cases that the journal in ``folder`` lacks.

    Finished cases whose prediction files are unchanged are kept; failed ones are tried again. The journal
    ends with one row a case in the order of ``cases``, the same bytes whether or not a run was interrupted.

    Args:
        challenge: reads, writes and scores.
        cases: what to do.
        predictor: made on first need.
        folder: run directory; predictions go to ``predictions`` in it, what is done of a slide that is not
            finished to ``unfinished``.
        progress: display that counts the cases.
        read: what the predictor sees of a case; the challenge's own reading if not given.
        score: whether there is a reference to score against.
        places: paths that rows are to name by words; as they are if not given.
    """
    timing = Timing()

    def work(to_do: Sequence[Case]) -> Iterator[CaseRow]:
        own = read or challenge.read
        return done_rows(challenge, cases, to_do, predictor(), own, (folder, timing, score))

    return journalled(cases, folder, progress, work, timing, places), timing


def done_rows(
    challenge: Challenge,
    cases: Sequence[Case],
    to_do: Sequence[Case],
    model: Predictor,
    read: Callable[[Case], AnySample],
    run: tuple[Path, Timing, bool],
) -> Iterator[CaseRow]:
    """Rows of cases as they are predicted, written and scored.

    Args:
        challenge: writes and scores.
        cases: all of them; those that share batches keep their neighbours.
        to_do: those that have no row yet.
        model: predicts.
        read: what the predictor sees of a case.
        run: folder of the run, the clock of its phases, and whether to score.
    """
    folder, timing, score = run
    behind, finishers = (1, 1) if challenge.card.slide_settings else (BEHIND, FINISHERS)
    ids = {case.id for case in to_do}
    answers = _answers(model, read, cases, to_do, timing)
    with ThreadPoolExecutor(finishers) as finisher:
        finishing: deque[Future[CaseRow]] = deque()
        for case, answer in answers:
            if case.id not in ids:
                continue
            finishing.append(
                finisher.submit(_finish, challenge, case, answer, folder / "predictions", timing, score)
            )
            while len(finishing) > behind:
                yield finishing.popleft().result()
        while finishing:
            yield finishing.popleft().result()


def score_predictions(
    challenge: Challenge,
    cases: Sequence[Case],
    predictions: Path,
    folder: Path,
    progress: Progress,
    *,
    rename: tuple[str, str] | None = None,
    workers: int | Executor = 2,
    places: Places | None = None,
) -> tuple[list[CaseRow], Timing]:
    """Score a folder of predictions, made by medbench or others, and write the journal.

    Args:
        challenge: locates and scores.
        cases: what to score.
        predictions: the folder.
        folder: run directory of the journal.
        progress: display that counts the cases.
        rename: as for :meth:`Challenge.locate`.
        workers: number of threads, or an executor whose workers see the files under the same paths and know
            the challenge by its name.
        places: paths that rows are to name by words; as they are if not given.
    """
    orders = [ScoringOrder(challenge.name, case, predictions, rename) for case in cases]
    rows_by_case: dict[str, CaseRow] = {}
    timing = Timing()
    progress.start("scoring", len(cases))
    with contextlib.ExitStack() as stack:
        if workers == 1:
            results = in_turn(partial(score_here, challenge), orders)
        elif isinstance(workers, int):
            pool: Executor = stack.enter_context(ThreadPoolExecutor(workers))
            results = spread(partial(score_here, challenge), orders, pool)
        else:
            code = code_sha256()
            results = spread(score_order, [replace(order, code=code) for order in orders], workers)
        for order, result in ((item.order, item.result) for item in results):
            if isinstance(result, Lost):
                row = failed_row(challenge, order.case, Failure("worker.died", result.reason))
            else:
                row, samples = result
                timing.add_samples(samples)
            rows_by_case[row.case] = shared_row(row, places)
            if row.reason:
                progress.say(f"{row.case}: {printable(row.reason, LONGEST_REASON)}")
            progress.advance(1, row.case)
    rows = [rows_by_case[case.id] for case in cases]
    timing.cases = len(cases)
    write_journal(folder, rows)
    progress.finish()
    return rows, timing


@dataclass(frozen=True, slots=True)
class ScoringOrder:
    """A prediction to score: names and paths.

    Attributes:
        challenge: name of the challenge.
        case: with the paths of its files.
        predictions: the folder.
        rename: as for :meth:`Challenge.locate`.
        plugins: Python files to load first.
        code: hash of the package's sources that a worker must have; any if empty.
        project: the project file, which may declare the challenge.
    """

    challenge: str
    case: Case
    predictions: Path
    rename: tuple[str, str] | None = None
    plugins: tuple[Path, ...] = field(default_factory=lambda: tuple(loaded_plugins()))
    code: str = ""
    project: Path | None = field(default_factory=project_path)


def score_order(order: ScoringOrder) -> tuple[CaseRow, dict[str, list[float]]]:
    """The row of a prediction, with seconds by phase, in any process.

    Raises:
        MedbenchError: ``cluster.other_version``.
    """
    check_code(order.code)
    use_project(order.project)
    for path in order.plugins:
        load_plugin(path)
    return score_here(load_challenge(order.challenge), order)


def score_here(challenge: Challenge, order: ScoringOrder) -> tuple[CaseRow, dict[str, list[float]]]:
    """The row of a prediction, with seconds by phase."""
    case, timing = order.case, Timing()
    path = guarded(case.id, lambda: challenge.locate(case, order.predictions, order.rename))
    if isinstance(path, Failure):
        return failed_row(challenge, case, path), {}
    if path is None:
        name = challenge.exchange.prediction_name(case)
        absent = Failure(
            "", f"no prediction {name} in {order.predictions}{alike_hint(order.predictions, name)}"
        )
        return failed_row(challenge, case, absent, status="missing"), {}
    row = _scored(challenge, case, path, timing)
    digest = guarded(case.id, lambda: content_sha256(path, "prediction"))
    if not isinstance(digest, Failure):
        name = path.relative_to(order.predictions).as_posix()
        row = dataclasses.replace(row, predictions={name: digest})
    return row, dict(timing.samples)


def _answers(
    model: Predictor,
    read: Callable[[Case], AnySample],
    cases: Sequence[Case],
    to_do: Sequence[Case],
    timing: Timing,
) -> Iterator[tuple[Case, Prediction | Failure]]:
    """Cases with their answers: one by one, or in batches of those of one size."""
    if not shares_batches(model):
        for case, sample in _read_ahead(read, to_do, timing, READ_AHEAD):
            yield case, _predicted(model, sample, timing)
        return
    chunks = in_chunks(cases, to_do, model.batch_size)
    samples = _read_ahead(read, chunks, timing, READ_AHEAD * model.batch_size, READERS)
    yield from answers_together(model, samples, lambda sample: _predicted(model, sample, timing), timing)


def _read_ahead(
    read: Callable[[Case], AnySample],
    cases: Sequence[Case],
    timing: Timing,
    ahead: int,
    readers: int = 1,
) -> Iterator[tuple[Case, AnySample | Failure]]:
    """Cases with their samples, or with the reason why there is none, the next ones read meanwhile."""

    def attempt(case: Case) -> AnySample | Failure:
        return guarded(case.id, lambda: timing.measure("read", lambda: read(case)))

    with ThreadPoolExecutor(readers) as reader:
        waiting: deque[tuple[Case, Future[AnySample | Failure]]] = deque()
        for case in cases:
            waiting.append((case, reader.submit(attempt, case)))
            if len(waiting) > ahead:
                first, task = waiting.popleft()
                yield first, task.result()
        for first, task in waiting:
            yield first, task.result()


def _predicted(model: Predictor, sample: AnySample | Failure, timing: Timing) -> Prediction | Failure:
    if isinstance(sample, Failure):
        return sample

    def predict() -> Prediction:
        prediction = model.predict(sample)
        check_answers(sample.demands, prediction.answers)
        return prediction

    before = dict(model.time_s)
    try:
        return guarded(sample.case.id, predict)
    finally:
        for phase, seconds in model.time_s.items():
            timing.add(phase, seconds - before.get(phase, 0.0))


def _finish(
    challenge: Challenge,
    case: Case,
    answer: Prediction | Failure,
    predictions: Path,
    timing: Timing,
    score: bool,
) -> CaseRow:
    def write() -> tuple[Path, dict[str, str]]:
        assert not isinstance(answer, Failure)
        path = timing.measure("write", lambda: challenge.write(answer, case, predictions))
        return path, {path.relative_to(predictions).as_posix(): sha256_file(path)}

    outcome = answer if isinstance(answer, Failure) else guarded(case.id, write)
    if isinstance(outcome, Failure):
        return failed_row(challenge, case, outcome, score=score)
    path, digest = outcome
    row = _scored(challenge, case, path, timing) if score else _row(case, "ok", CaseScores())
    return dataclasses.replace(row, predictions=digest)


def _scored(challenge: Challenge, case: Case, path: Path, timing: Timing) -> CaseRow:
    scores = guarded(
        case.id, lambda: timing.measure("score", lambda: challenge.scorer.score_file(case, path))
    )
    if isinstance(scores, Failure):
        return failed_row(challenge, case, scores)
    return _row(case, "ok", scores)


def failed_row(
    challenge: Challenge,
    case: Case,
    failure: Failure,
    *,
    status: Literal["failed", "missing"] = "failed",
    score: bool = True,
) -> CaseRow:
    """The row of a case without a score of its own: by the declared rule, or undefined where that fails."""
    if not score:
        return _row(case, status, CaseScores(), failure)
    scores = guarded(case.id, lambda: challenge.scorer.score_failed(case, status, failure.reason))
    if isinstance(scores, Failure):
        no_score = Score.undefined(scores.reason)
        scores = CaseScores({spec.name: no_score for spec in challenge.metrics if not spec.pooled})
    return _row(case, status, scores, failure)


def _row(case: Case, status: CaseStatus, scores: CaseScores, failure: Failure | None = None) -> CaseRow:
    evidence, reason = dict(scores.evidence), ""
    if failure is not None:
        reason = failure.reason
        evidence |= {REFUSAL: failure.code} if failure.code else {}
    return CaseRow(
        case.id,
        case.resampling_unit,
        status,
        scores.scores,
        evidence,
        reason,
        facts=case.subgroup_facts,
    )
