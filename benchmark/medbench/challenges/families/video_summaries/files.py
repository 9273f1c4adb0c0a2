"""Files of SumMe and TVSum: the released features, the raw annotations, and the splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges.card import Card
from medbench.challenges.families.video_summaries.annotations import (
    RawFiles,
    RawVideo,
    raw_name,
    rebuilt,
    sampled_ratings,
    uniform_timeline,
)
from medbench.challenges.families.video_summaries.layout import (
    Annotations,
    Timeline,
    checked_timeline,
    key_shots,
    read_annotations,
    read_features,
    read_timeline,
)
from medbench.challenges.families.video_summaries.splits import ALL, ANNOTATIONS, Splits, SplitVideo
from medbench.challenges.release import Release, SplitFacts
from medbench.challenges.stray import Finding, findings_of
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.text import agreeing, counted
from medbench.io.hdf5_groups import group_text, list_groups

_CLOSE = 1e-3


def file_name(data_set: str) -> str:
    """Name of the released file of a set."""
    return f"eccv16_dataset_{data_set}_google_pool5.h5"


class VideoSummaryRelease(Release):
    """One set of videos.

    Args:
        card: of the challenge.
        video_splits: its splits.
        raw: reads its raw annotation files.
    """

    default_split = "canonical"
    training_split = "fold1_train"

    def __init__(self, card: Card, video_splits: Splits, raw: RawFiles) -> None:
        super().__init__(card)
        self.video_splits = video_splits
        self.raw = raw
        self.splits = video_splits.names

    def split_facts(self, split: str) -> SplitFacts | None:
        """Rule, size and hash of the names of a split."""
        return self.video_splits.facts(split)

    def parts(self, split: str) -> Sequence[str]:
        """The five folds of ``canonical`` and ``augmented``."""
        return self.video_splits.parts(split)

    def training_split_of(self, split: str) -> str:
        """The videos that a fold learns from."""
        if f"{split}_train" in self.splits:
            return f"{split}_train"
        return split if split.endswith("_train") else self.training_split

    def overlap(self, training_split: str, split: str) -> bool:
        """Whether a video of ``split`` is among those learnt from."""
        if split in (ALL, ANNOTATIONS) or training_split in (ALL, ANNOTATIONS):
            return training_split != "transfer_train"
        training_videos, test_videos = (
            {(video.data_set, video.key) for video in self.video_splits.videos_of(name)}
            for name in (training_split, split)
        )
        return training_split != split and bool(training_videos & test_videos)

    def cases(self, root: Path, split: str) -> list[Case]:
        """Videos of the split, in the order of their numbers, fold by fold.

        Raises:
            MedbenchError: also ``split.absent_video`` for a split that names a video the file does not hold.
        """
        self.check_split(split)
        if split == ANNOTATIONS:
            return self._raw_cases(root)
        if split == ALL:
            keys = sorted(self._keys(root, self.video_splits.data_set), key=_number)
            return [self._case(root, SplitVideo(self.video_splits.data_set, key)) for key in keys]
        videos = self.video_splits.videos_of(split)
        for data_set in dict.fromkeys(video.data_set for video in videos):
            there = set(self._keys(root, data_set))
            absent = [m.key for m in videos if m.data_set == data_set and m.key not in there]
            if absent:
                raise MedbenchError(
                    "split.absent_video",
                    f"{root / file_name(data_set)}: has no {absent[0]}, which split {split} names "
                    f"({len(absent)} of {len(videos)} {agreeing(len(absent), 'is', 'are')} absent).",
                    "Use the complete file, or --split all for the videos that are there.",
                )
        return [self._case(root, video) for video in videos]

    def _keys(self, root: Path, data_set: str) -> list[str]:
        path = root / file_name(data_set)
        if not path.is_file():
            if data_set == self.video_splits.data_set:
                raise self.layout_error(root, (path.name,))
            raise MedbenchError(
                "data.set_missing",
                f"{path}: there is no such file, and this split learns from it.",
                "Put it beside the other, or take the canonical folds.",
            )
        return [name for name in list_groups(path) if name.startswith("video_")]

    def _case(self, root: Path, video: SplitVideo) -> Case:
        path = root / file_name(video.data_set)
        reference = {"annotations": path}
        raw = self.raw.locate(root) if video.data_set == self.video_splits.data_set else None
        if raw is not None and raw.is_file():
            reference["raw"] = raw
        group = video.key if video.data_set == self.video_splits.data_set else f"{video.data_set}/{video.key}"
        return Case(
            self.video_splits.case_id(video),
            {"features": path},
            reference,
            group,
            {"video": video.key, "fold": video.fold, "root": str(root)},
        )

    def _raw_cases(self, root: Path) -> list[Case]:
        place = self.raw.locate(root)
        if place is None:
            raise self.layout_error(root, ("the raw annotation files",))
        return [
            Case(
                name, {}, {"raw": self.raw.file_of(place, name)}, name,
                {"raw": name, "fold": "", "root": str(root)},
            )
            for name in self.raw.names(place)
        ]  # fmt: skip

    def timeline(self, case: Case) -> Timeline:
        """Frames, sampled frames and shots of a case.

        Raises:
            MedbenchError: naming file and video.
        """
        if "raw" in case.facts:
            raw = self._raw_of(case, case.facts["raw"])
            return uniform_timeline(str(case.reference["raw"]), raw.n_frames)
        return read_timeline(case.inputs["features"], case.facts["video"])

    def features(self, case: Case, timeline: Timeline) -> Any:
        """Features of the sampled frames ``(steps, 1024)``.

        Raises:
            MedbenchError: ``data.no_features`` for raw annotations, and as
                :func:`medbench.challenges.families.video_summaries.layout.read_features`.
        """
        if not case.inputs:
            raise MedbenchError(
                "data.no_features",
                f"{case.id}: raw annotations have no features to predict from.",
                f"Put {file_name(self.video_splits.data_set)} beside them, or score summaries with medbench "
                "evaluate.",
            )
        return read_features(case.inputs["features"], case.facts["video"], timeline)

    def annotations(self, case: Case, timeline: Timeline) -> Annotations:
        """Annotations of a case: the file's summaries, with ratings where the raw files are there.

        Raises:
            MedbenchError: naming file, video and annotator.
        """
        if "raw" in case.facts:
            return rebuilt(self._raw_of(case, case.facts["raw"]), timeline)
        path, key = case.reference["annotations"], case.facts["video"]
        from_file = read_annotations(path, key, timeline)
        name = self._raw_name(case, timeline)
        if name is None:
            return from_file
        ratings = sampled_ratings(self._raw_of(case, name), timeline)
        return Annotations(from_file.summaries, ratings, from_file.scores)

    def _raw_name(self, case: Case, timeline: Timeline) -> str | None:
        place = self.raw.locate(Path(case.facts["root"]))
        if place is None or case.reference["annotations"].name != file_name(self.video_splits.data_set):
            return None
        return raw_name(self.raw, place, _number(case.facts["video"]), timeline.n_frames)

    def video_names(self, case: Case, timeline: Timeline) -> list[str]:
        """Names that the file of a case's video may have, without suffix.

        Raises:
            MedbenchError: naming file and video.
        """
        if "raw" in case.facts:
            return [case.facts["raw"]]
        path, key = case.inputs["features"], case.facts["video"]
        names = (group_text(path, key, "video_name"), self._raw_name(case, timeline), key)
        return [name for name in names if name]

    def _raw_of(self, case: Case, name: str) -> Any:
        place = self.raw.locate(Path(case.facts["root"]))
        assert place is not None, "a case with raw annotations has their place"
        return self.raw.read(place, name)

    def annotation_arrays(self, raw: RawVideo, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """``user_summary``, ``gtscore`` and ``gtsummary`` of a video, rebuilt from its raw annotations.

        Args:
            raw: annotations of every frame.
            arrays: ``n_frames``, ``picks`` and ``change_points`` of the video.

        Raises:
            MedbenchError: as :func:`rebuilt`.
        """
        timeline = checked_timeline(
            raw.name, int(arrays["n_frames"]), arrays["picks"], arrays["change_points"]
        )
        annotations = rebuilt(raw, timeline)
        return {
            "user_summary": annotations.summaries.astype(np.float32),
            "gtscore": annotations.scores.astype(np.float32),
            "gtsummary": key_shots(timeline, annotations.scores).astype(np.float32),
        }

    def check_files(self, root: Path) -> list[Finding]:
        """Every video's arrays, the folds, and the stored summaries against the raw annotations."""
        path = root / file_name(self.video_splits.data_set)
        if not path.is_file():
            cases = self.cases(root, ANNOTATIONS)
            videos = counted(len(cases), "video")
            note = f"{videos} of raw annotations; without {path.name} summaries can be scored only."
            return [
                Finding("note", note),
                *(f for case in cases for f in findings_of(case.id, partial(self._check_case, case))),
            ]
        cases = self.cases(root, ALL)
        whole = self.split_facts(ALL)
        findings = [
            Finding(
                "note" if whole and whole.cases == len(cases) else "warning",
                f"{path}: {len(cases)} of the release's {whole.cases if whole else 0} videos.",
            )
        ]
        for case in cases:
            findings += findings_of(case.id, partial(self._check_case, case))
        for split in self.video_splits.parts(self.default_split):
            try:
                self.cases(root, split)
            except MedbenchError as error:
                findings.append(Finding("error", error.message, error.hint))
        findings.append(Finding("note", f"Folds: {self.video_splits.note}."))
        return findings

    def _check_case(self, case: Case) -> Iterator[Finding]:
        try:
            timeline = self.timeline(case)
            from_file = self.annotations(case, timeline)
            if case.inputs:
                self.features(case, timeline)
        except MedbenchError as error:
            yield Finding("error", error.message, error.hint)
            return
        if not case.inputs:
            return
        name = self._raw_name(case, timeline)
        if name is not None:
            from_raw = rebuilt(self._raw_of(case, name), timeline)
            yield from _compare(case, name, from_file, from_raw)


def _compare(case: Case, name: str, from_file: Annotations, from_raw: Annotations) -> Iterator[Finding]:
    """What of the stored annotations the raw ones do not give."""
    if from_file.summaries.shape != from_raw.summaries.shape:
        count = len(from_file.summaries)
        summaries = f"{count} {agreeing(count, 'summary of an annotator is', 'summaries of annotators are')}"
        yield Finding(
            "warning",
            f"{case.id}: {summaries} stored, {name} has {len(from_raw.summaries)}.",
            "The files may be of different releases.",
        )
        return
    differing = (from_file.summaries != from_raw.summaries).any(axis=1).sum()
    if differing:
        share = (from_file.summaries != from_raw.summaries).mean()
        yield Finding(
            "warning",
            f"{case.id}: user_summary of {differing} of {len(from_file.summaries)} annotators is not what "
            f"{name} gives ({share:.1%} of the frames differ).",
            "The release may have made them with other shots.",
        )
    one, other = (_scaled(part.scores) for part in (from_file, from_raw))
    if np.abs(one - other).max() > _CLOSE:
        yield Finding(
            "warning",
            f"{case.id}: gtscore is not the mean that {name} gives (correlation "
            f"{np.corrcoef(one, other)[0, 1]:.3f}).",
            "Networks learn from gtscore; scores do not depend on it.",
        )


def _scaled(scores: Any) -> Any:
    spread = np.ptp(scores)
    return (scores - scores.min()) / spread if spread > 0 else scores * 0


def _number(key: str) -> int:
    tail = key.rpartition("_")[2]
    return int(tail) if tail.isdigit() else 0
