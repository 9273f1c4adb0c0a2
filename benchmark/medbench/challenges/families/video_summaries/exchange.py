"""Exchange of videos: features for models, and scores that become a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.card import Card
from medbench.challenges.exchange import Exchange, Inputs
from medbench.challenges.families.video_summaries.answers import SUFFIX, read_answers, write_answer
from medbench.challenges.families.video_summaries.files import VideoSummaryRelease
from medbench.challenges.families.video_summaries.layout import key_shots
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.overlay import Illustration
from medbench.core.sample import Prediction, SequenceSample, TrainingSequence

RANDOM_DRAWS = 20
_SEED = 18


class VideoSummaryExchange(Exchange):
    """Features of sampled frames in, one score for each of them out.

    Facts of a sample: ``picks``, ``change_points`` and ``n_frames``, as
    :class:`medbench.challenges.families.video_summaries.layout.Timeline` has them. What models see that are
    declared to see the reference has ``key_frames`` too, the sampled frames of the key-shot summary.
    """

    several_answers = True

    def __init__(self, card: Card, release: VideoSummaryRelease) -> None:
        super().__init__(card)
        self.release = release
        self.inputs = {"sequence": Inputs(self.read, self.examples)}
        self.inputs_with_reference = {"sequence": Inputs(self.read_with_reference, self.examples)}
        self.reference_answers = {
            "random scores": self.random_answer,
            "uniform scores": self.uniform_answer,
            "annotators, each left out in turn": self.annotators_answer,
        }

    def read(self, case: Case) -> SequenceSample:
        """Features, sampled frames and shots; nothing that annotators said.

        Raises:
            MedbenchError: naming file and video.
        """
        timeline = self.release.timeline(case)
        facts = {
            "picks": timeline.picks,
            "change_points": timeline.change_points,
            "n_frames": timeline.n_frames,
        }
        return SequenceSample(case, self.release.features(case, timeline), facts=facts)

    def read_with_reference(self, case: Case) -> SequenceSample:
        """The same with the key-shot summary of the very video.

        Raises:
            MedbenchError: as :meth:`read`, and for annotations that cannot be read.
        """
        sample = self.read(case)
        return SequenceSample(
            case,
            sample.features,
            sample.demands,
            {**sample.facts, "key_frames": self._targets(case)["key_frames"]},
        )

    def examples(self, root: Path, split: str, cache: Path) -> Sequence[TrainingSequence]:
        """Videos to learn from, with the targets ``importance`` and ``key_frames``."""
        return [self._example(case) for case in self.release.cases(root, split)]

    def _example(self, case: Case) -> TrainingSequence:
        def load() -> tuple[SequenceSample, Mapping[str, npt.NDArray[Any]]]:
            return self.read(case), self._targets(case)

        return TrainingSequence(case.id, case.group, load, (case.inputs["features"],))

    def _targets(self, case: Case) -> dict[str, npt.NDArray[Any]]:
        timeline = self.release.timeline(case)
        scores = self.release.annotations(case, timeline).scores
        return {
            "importance": ((scores - scores.min()) / np.ptp(scores)).astype(np.float32),
            "key_frames": key_shots(timeline, scores),
        }

    def prediction_name(self, case: Case) -> str:
        """``<case>.npz``."""
        return f"{case.id}{SUFFIX}"

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write scores and the official summary that they lead to; several rows are several answers.

        Raises:
            MedbenchError: ``scores.not_finite`` or ``scores.length``.
        """
        timeline = self.release.timeline(case)
        scores = np.asarray(prediction["frame_scores"], np.float32)
        fits = scores.ndim in (1, 2) and scores.shape[-1:] == timeline.picks.shape
        if not fits or not np.isfinite(scores).all():
            raise MedbenchError(
                "scores.not_finite" if fits else "scores.length",
                f"{case.id}: the model gave scores of shape {scores.shape} for {len(timeline.picks)} sampled "
                f"frames, {int((~np.isfinite(scores)).sum())} of them not finite.",
                "Give one finite number a sampled frame.",
            )
        summary = np.apply_along_axis(timeline.summary, -1, scores).astype(np.uint8)
        return write_answer(folder / self.prediction_name(case), {"scores": scores, "summary": summary})

    def random_answer(self, case: Case, folder: Path) -> Path:
        """Twenty draws of random scores, whose mean counts."""
        timeline = self.release.timeline(case)
        scores = np.random.default_rng([_SEED, timeline.n_frames]).random((RANDOM_DRAWS, len(timeline.picks)))
        return write_answer(folder / self.prediction_name(case), {"scores": scores.astype(np.float32)})

    def uniform_answer(self, case: Case, folder: Path) -> Path:
        """The same score for every frame."""
        timeline = self.release.timeline(case)
        return write_answer(
            folder / self.prediction_name(case), {"scores": np.ones(len(timeline.picks), np.float32)}
        )

    def annotators_answer(self, case: Case, folder: Path) -> Path:
        """Every annotator's summary and importance, to be scored against the others."""
        timeline = self.release.timeline(case)
        annotations = self.release.annotations(case, timeline)
        importance = (
            annotations.summaries[:, timeline.picks] if annotations.ratings is None else annotations.ratings
        )
        arrays: dict[str, npt.NDArray[Any]] = {
            "scores": importance.astype(np.float32),
            "summary": annotations.summaries.astype(np.uint8),
            "annotator": np.arange(len(annotations.summaries)),
        }
        return write_answer(folder / self.prediction_name(case), arrays)

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """Score curve, annotators' mean, shots and chosen shots; thumbnails where the video is there.

        Raises:
            MedbenchError: when a file cannot be read.
        """
        from medbench.challenges.families.video_summaries.illustration import illustrate

        timeline = self.release.timeline(case)
        answer = read_answers(path, timeline)[0]
        annotations, names = (
            self.release.annotations(case, timeline),
            self.release.video_names(case, timeline),
        )
        return illustrate(case, timeline, annotations, answer, names)
