"""Answers of cases that share batches, each batch begun before the answers of the one before are taken."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeGuard, TypeVar

from medbench.core.case import Case
from medbench.core.guard import Failure, guarded
from medbench.core.sample import AnySample, Prediction, Sample
from medbench.core.task import check_answers
from medbench.inference.predictor import Predictor
from medbench.records.phases import Timing

Answer = Prediction | Failure
Read = tuple[Case, AnySample | Failure]
Group = list[tuple[Case, Sample]]
Finish = Callable[[], list[Prediction]]
T = TypeVar("T")
_FORWARD = ("preprocess", "forward", "postprocess")


class BatchPredictor(Predictor, Protocol):
    """A predictor whose cases may share batches.

    Attributes:
        together: whether they do.
        batch_size: images of a batch.
    """

    together: bool
    batch_size: int

    def start(self, samples: Sequence[Sample]) -> Callable[[], list[Prediction]]:
        """Begin to predict samples of one size in one batch; a function that gives their predictions."""
        ...


def shares_batches(model: Predictor) -> TypeGuard[BatchPredictor]:
    """Whether cases of one size are predicted in one batch."""
    return bool(getattr(model, "together", False))


def in_chunks(cases: Sequence[Case], to_do: Sequence[Case], size: int) -> list[Case]:
    """The cases of all chunks of ``size`` successive cases in which there is something to do.

    Batches are made of the cases of a chunk, finished ones included, so that a case has the same neighbours,
    and the same prediction to the last bit, whether or not a run was interrupted.
    """
    ids = {case.id for case in to_do}
    chunks = [cases[start : start + size] for start in range(0, len(cases), size)]
    return [case for chunk in chunks if any(one.id in ids for one in chunk) for case in chunk]


def answers_together(
    model: BatchPredictor,
    read: Iterator[Read],
    alone: Callable[[AnySample | Failure], Answer],
    timing: Timing,
) -> Iterator[tuple[Case, Answer]]:
    """Answers of cases by batches of one size.

    Args:
        model: predicts.
        read: cases with their samples, in chunks of ``model.batch_size``.
        alone: predicts one sample, for those that share no batch and where a batch fails.
        timing: gets every case its share of the batch's time.
    """
    waiting: deque[tuple[Group, Finish | Failure]] = deque()
    for chunk in _chunks(read, model.batch_size):
        groups, single = _grouped(chunk, model.batch_size)
        for group in groups:
            waiting.append((group, _begun(model, group, timing)))
            while len(waiting) > 1:
                yield from _ended(model, *waiting.popleft(), alone, timing)
        for case, sample in single:
            yield case, alone(sample)
    while waiting:
        yield from _ended(model, *waiting.popleft(), alone, timing)


def _chunks(read: Iterator[Read], size: int) -> Iterator[list[Read]]:
    chunk: list[Read] = []
    for item in read:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _grouped(chunk: Sequence[Read], most: int) -> tuple[list[Group], list[Read]]:
    """Groups of one size and demands with at most so many images, and the cases that are in none."""
    by_kind: dict[Any, list[Group]] = {}
    single: list[Read] = []
    for case, sample in chunk:
        if not isinstance(sample, Sample) or len(sample.images) > most:
            single.append((case, sample))
            continue
        groups = by_kind.setdefault((sample.images.shape[1:], sample.images.dtype, sample.demands), [[]])
        if sum(len(one.images) for _, one in groups[-1]) + len(sample.images) > most:
            groups.append([])
        groups[-1].append((case, sample))
    return [group for groups in by_kind.values() for group in groups], single


def _begun(model: BatchPredictor, group: Group, timing: Timing) -> Finish | Failure:
    names = ", ".join(case.id for case, _ in group)
    samples = [sample for _, sample in group]
    return _timed(model, timing, len(group), lambda: guarded(names, lambda: model.start(samples)))


def _ended(
    model: BatchPredictor,
    group: Group,
    finish: Finish | Failure,
    alone: Callable[[AnySample | Failure], Answer],
    timing: Timing,
) -> Iterator[tuple[Case, Answer]]:
    """Answers of a batch; one by one where it failed, so that no case is lost by another."""
    if isinstance(finish, Failure):
        answers: list[Prediction] | Failure = finish
    else:
        call = finish
        answers = _timed(model, timing, len(group), lambda: guarded("batch", call))
    if isinstance(answers, Failure):
        yield from ((case, alone(sample)) for case, sample in group)
        return
    for (case, sample), answer in zip(group, answers, strict=True):
        yield case, guarded(case.id, functools.partial(_checked, sample, answer))


def _checked(sample: Sample, answer: Prediction) -> Prediction:
    check_answers(sample.demands, answer.answers)
    return answer


def _timed(model: BatchPredictor, timing: Timing, cases: int, call: Callable[[], T]) -> T:
    """Result of a call; its seconds by phase are shared by so many cases."""
    before = dict(model.time_s)
    try:
        return call()
    finally:
        for phase in _FORWARD:
            seconds = model.time_s.get(phase, 0.0) - before.get(phase, 0.0)
            for _ in range(cases if seconds else 0):
                timing.add(phase, seconds / cases)
