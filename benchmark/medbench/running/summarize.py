"""``medbench summarize``: a summary of one's own video by a trained network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json
from medbench.core.progress import Progress
from medbench.core.sample import SequenceSample
from medbench.core.text import counted
from medbench.core.writable import refuse_unwritable
from medbench.inference.build import PredictorSettings, build_predictor
from medbench.inference.frame_features import FrameFeatures
from medbench.inference.video_shots import SampledVideo, Sampling, sample_video
from medbench.inference.weights import load_checkpoint, load_into
from medbench.io.video_stream import cut_video, frames_at, video_facts
from medbench.metrics.tasks.shots import SUMMARY_SHARE, make_summary
from medbench.models import create_model, model_entry
from medbench.models.devices import present_device

_COLUMNS, _WIDTH_PX, _MOST_SHOTS = 4, 320, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRequest:
    """Request for the summary of a video.

    Attributes:
        model: model name.
        weights: file of its weights; ``None`` for a model that has nothing to learn.
        video: the file.
        output: the summary's MP4 file; ``.json`` and ``.jpg`` of the same name lie beside it.
        feature_weights: file of GoogLeNet's weights; ``None`` for random ones.
        random_features: whether random ones were asked for.
        share: of the video that the summary may have.
        sampling: which frames are looked at.
        device: where the networks run.
    """

    model: str
    video: Path
    output: Path
    weights: Path | None = None
    feature_weights: Path | None = None
    random_features: bool = False
    share: float = SUMMARY_SHARE
    sampling: Sampling = "every_15th"
    device: str = "auto"


def summarize(request: SummaryRequest, progress: Progress) -> dict[str, Any]:
    """Write the summary with its sound, the chosen shots as JSON, and a contact sheet; what the JSON holds.

    Raises:
        MedbenchError: ``model.task`` or ``model.needs_reference`` for a model that cannot, ``weights.none``,
            ``prepare.no_weights``, ``summary.output``, ``output.unwritable``, ``video.one_shot``,
            ``summary.empty`` where no shot is short enough, ``device.missing``, and for videos that cannot be
            decoded.
    """
    device = present_device(request.device)
    _check_files(request)
    network, entry = _network(request)
    extractor = FrameFeatures(request.feature_weights, device)
    progress.say(f"Decoding {request.video} and looking at its frames.")
    video = sample_video(request.video, extractor, request.sampling)
    if len(video.change_points) < 2:
        raise MedbenchError(
            "video.one_shot",
            f"{request.video}: is a single shot of {counted(video.n_frames, 'frame')}.",
            "There is nothing to choose among.",
        )
    settings = PredictorSettings(form="sequence", tasks=("frame_scores",), device=device)
    predictor = build_predictor(network, settings, entry.predictor)
    scores = predictor.predict(_sample(request.video, video))["frame_scores"]
    summary = make_summary(scores, video.picks, video.n_frames, video.change_points, share=request.share)
    if not summary.any():
        shortest = int((video.change_points[:, 1] - video.change_points[:, 0]).min()) + 1
        raise MedbenchError(
            "summary.empty",
            f"{request.video}: the shortest shot has {shortest} of {video.n_frames} frames, more than a "
            f"summary of {request.share:.0%} may have.",
            "Give a larger --share.",
        )
    progress.say(f"Cutting {int(summary.sum())} of {video.n_frames} frames.")
    cut_video(request.video, request.output, lambda index: bool(summary[index]))
    facts = _told(request, video, scores, summary, extractor)
    write_json(request.output.with_suffix(".json"), facts)
    _contact_sheet(request.video, video, summary, request.output.with_suffix(".jpg"))
    return facts


def _check_files(request: SummaryRequest) -> None:
    """Refuse what is no video, and an output that is none or would overwrite the video."""
    video_facts(request.video)
    if request.output.suffix.lower() != ".mp4" or request.output.resolve() == request.video.resolve():
        raise MedbenchError(
            "summary.output",
            f"{request.output}: the summary is written to an MP4 file other than the video.",
            "Give --output summary.mp4.",
        )
    refuse_unwritable(request.output)


def _network(request: SummaryRequest) -> tuple[Any, Any]:
    entry = model_entry(request.model)
    if "frame_scores" not in entry.offers:
        raise MedbenchError(
            "model.task",
            f"{request.model} does not score frames.",
            "Take fulltransnet or a baseline/… model.",
        )
    if entry.sees_reference:
        raise MedbenchError(
            "model.needs_reference",
            f"{request.model} is given the ground-truth summary of what it summarises.",
            "Take fulltransnet.",
        )
    if request.weights is None and entry.learns:
        raise MedbenchError("weights.none", f"{request.model} has to learn first.", "Give --weights FILE.")
    if request.feature_weights is None and not request.random_features:
        raise MedbenchError(
            "prepare.no_weights",
            "Features of real videos need GoogLeNet's weights.",
            "Give --feature-weights googlenet-1378be20.pth, or --random-features.",
        )
    checkpoint = None if request.weights is None else load_checkpoint(request.weights)
    options = {} if checkpoint is None else checkpoint.facts.get("options", {})
    network = create_model(request.model, num_classes=1, **options)
    if checkpoint is not None:
        load_into(network, request.model, checkpoint, str(request.weights))
    return network, entry


def _sample(path: Path, video: SampledVideo) -> SequenceSample:
    facts = {"picks": video.picks, "change_points": video.change_points, "n_frames": video.n_frames}
    return SequenceSample(Case(path.stem, {"video": path}), video.features, facts=facts)


def _told(
    request: SummaryRequest,
    video: SampledVideo,
    scores: npt.NDArray[np.float32],
    summary: npt.NDArray[np.bool_],
    extractor: FrameFeatures,
) -> dict[str, Any]:
    rate = float(video_facts(request.video).frames_per_second)
    every = np.repeat(scores, np.diff(np.append(video.picks, video.n_frames)))
    shots = [
        {
            "first_frame": int(first),
            "last_frame": int(last),
            "start_s": round(int(first) / rate, 3),
            "end_s": round((int(last) + 1) / rate, 3),
            "score": round(float(every[first : last + 1].mean()), 6),
            "chosen": bool(summary[first]),
        }
        for first, last in video.change_points
    ]
    return {
        "video": request.video.name,
        "model": request.model,
        "features": extractor.sha256 or "random weights: the summary says nothing",
        "sampling": request.sampling,
        "frames": video.n_frames,
        "frames_per_second": rate,
        "summary_frames": int(summary.sum()),
        "share": round(float(summary.mean()), 6),
        "picks": video.picks.tolist(),
        "scores": [round(float(score), 6) for score in scores],
        "shots": shots,
    }


def _contact_sheet(path: Path, video: SampledVideo, summary: npt.NDArray[np.bool_], target: Path) -> None:
    """The middle frame of every chosen shot, in rows of four."""
    from medbench.io.raster import resize_image, write_image

    middles = [int(shot.sum() // 2) for shot in video.change_points if summary[shot[0]]]
    frames = frames_at(path, middles[:: -(-len(middles) // _MOST_SHOTS)])
    height = round(_WIDTH_PX * frames[0].shape[0] / frames[0].shape[1])
    rows = -(-len(frames) // _COLUMNS)
    sheet = np.full((rows * height, min(len(frames), _COLUMNS) * _WIDTH_PX, 3), 255, np.uint8)
    for place, frame in enumerate(frames):
        top, left = place // _COLUMNS * height, place % _COLUMNS * _WIDTH_PX
        sheet[top : top + height, left : left + _WIDTH_PX] = resize_image(frame, height, _WIDTH_PX)
    write_image(target, sheet)
