"""``medbench data prepare``: features, shots and annotations of videos in the released layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges import load_challenge
from medbench.challenges.base import Challenge
from medbench.challenges.families.video_summaries.files import VideoSummaryRelease
from medbench.core.errors import MedbenchError
from medbench.core.guard import describe
from medbench.core.progress import Progress
from medbench.core.writable import refuse_unwritable
from medbench.inference.frame_features import FrameFeatures
from medbench.inference.video_shots import SampledVideo, Sampling, sample_video
from medbench.io.gate.listing import visible_paths
from medbench.io.hdf5_groups import write_groups
from medbench.models.devices import present_device

_MEND = "Every video's reason stands above; give whole files that ffmpeg plays."
VIDEO_SUFFIXES = (".mp4", ".avi", ".webm", ".mkv", ".mov", ".mpg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How videos become features.

    Attributes:
        weights: file of GoogLeNet's weights; ``None`` for random ones.
        random_weights: whether random ones were asked for.
        sampling: which frames are looked at.
        annotations: folder of the raw annotation files; that of the videos if not given.
        device: where the network runs.
    """

    weights: Path | None = None
    random_weights: bool = False
    sampling: Sampling = "every_15th"
    annotations: Path | None = None
    device: str = "auto"


def prepare(
    challenge: str, videos: Path, output: Path, preparation: Preparation, progress: Progress
) -> list[str]:
    """Write the released layout from a folder of videos; what went wrong, one line a video.

    Args:
        challenge: a challenge of video summaries; its raw annotations are rebuilt where they are there.
        videos: folder of video files, named as the raw annotations name them.
        output: the HDF5 file.
        preparation: how.
        progress: told of every video.

    Raises:
        MedbenchError: ``prepare.challenge``, ``data.empty``, ``prepare.no_weights``, ``output.unwritable``,
            or when every video fails.
    """
    subject = load_challenge(challenge)
    if not isinstance(subject.release, VideoSummaryRelease):
        raise MedbenchError(
            "prepare.challenge", f"{subject.title} is not prepared from videos.", "Use the data as released."
        )
    files = [path for path in visible_paths(videos, "*") if path.suffix.lower() in VIDEO_SUFFIXES]
    if not files:
        kinds = ", ".join(VIDEO_SUFFIXES)
        reason = f"holds no video ({kinds})" if videos.is_dir() else "there is no such folder"
        raise MedbenchError("data.empty", f"{videos}: {reason}.", "Check --videos.")
    if preparation.weights is None and not preparation.random_weights:
        raise MedbenchError(
            "prepare.no_weights",
            "Features of real videos need GoogLeNet's weights.",
            "Give --weights googlenet-1378be20.pth, or --random-weights for features that tell frames "
            "apart only.",
        )
    refuse_unwritable(output)
    extractor = FrameFeatures(preparation.weights, present_device(preparation.device))
    place = subject.release.raw.locate(preparation.annotations or videos)
    groups: dict[str, Mapping[str, Any]] = {}
    failures: list[str] = []
    progress.start("preparing", len(files))
    for number, path in enumerate(files, 1):
        try:
            key, arrays = _prepared(subject, path, number, place, extractor, preparation.sampling)
            _refuse_twin(path, key, groups)
            groups[key] = arrays
        except Exception as error:  # noqa: BLE001 - one bad video never loses the others
            failures.append(describe(error))
            progress.say(failures[-1])
        progress.advance(1, path.name)
    progress.finish()
    if not groups:
        raise MedbenchError("prepare.failed", f"{videos}: no video could be prepared: {failures[0]}", _MEND)
    write_groups(output, groups, _provenance(preparation, extractor))
    return failures


def _provenance(preparation: Preparation, extractor: FrameFeatures) -> dict[str, str]:
    return {
        "made_by": "medbench data prepare",
        "features": "torchvision GoogLeNet, average pooling, shorter side 256, centre 224",
        "feature_weights_sha256": extractor.sha256 or "random weights: no features of the published kind",
        "sampling": preparation.sampling,
        "shots": "kernel temporal segmentation on features of unit length"
        + ("" if extractor.sha256 else ", the video's mean subtracted"),
    }


def _prepared(
    subject: Challenge,
    path: Path,
    number: int,
    place: Path | None,
    extractor: FrameFeatures,
    sampling: Sampling,
) -> tuple[str, dict[str, Any]]:
    """Group and arrays of one video."""
    release: Any = subject.release
    names = list(release.raw.names(place)) if place is not None else []
    video = sample_video(path, extractor, sampling)
    key = f"video_{names.index(path.stem) + 1 if path.stem in names else len(names) + number}"
    arrays = video_arrays(video) | {"video_name": np.bytes_(path.stem.encode())}
    if path.stem in names:
        arrays |= release.annotation_arrays(release.raw.read(place, path.stem), arrays)
    return key, arrays


def _refuse_twin(path: Path, key: str, groups: Mapping[str, Mapping[str, Any]]) -> None:
    if key in groups:
        raise MedbenchError(
            "file.ambiguous",
            f"{path}: another video of this folder is called {path.stem} too, and is {key} already.",
            "Keep one of the two.",
        )


def video_arrays(video: SampledVideo) -> dict[str, Any]:
    """The arrays of a group that need no annotation."""
    return {
        "features": video.features,
        "picks": video.picks,
        "n_frames": np.int64(video.n_frames),
        "n_steps": np.int64(len(video.picks)),
        "change_points": video.change_points,
        "n_frame_per_seg": video.change_points[:, 1] - video.change_points[:, 0] + 1,
    }
