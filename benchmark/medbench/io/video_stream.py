"""Videos through PyAV, frame by frame: memory does not grow with the length, and sound is copied along."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path
from medbench.core.text import counted
from medbench.io.gate.admission import entrance
from medbench.io.gate.containers import VideoHeader
from medbench.io.gate.expected import check_budget
from medbench.io.gate.refusal import corrupt

if TYPE_CHECKING:
    import av

_LOST_S = 1.0
_DEFAULT_RATE = Fraction(25)
_SOUND_RATE = 48_000
_BYTES_A_PIXEL = 16
_DEMUXERS = {"AVI": "avi", "MP4": "mov", "Matroska": "matroska", "ASF": "asf", "FLV": "flv", "Ogg": "ogg"}


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """Facts in a video's header.

    Attributes:
        frames_per_second: average rate.
        width: in pixels.
        height: in pixels.
        sound: whether it has a track of sound.
    """

    frames_per_second: Fraction
    width: int
    height: int
    sound: bool


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, VideoHeader]]:
    """A video that passed the gate, decoded from the very handle that was checked."""
    try:
        import av
    except ImportError as error:
        raise MedbenchError(
            "package.missing", "Decoding videos needs PyAV.", "pip install 'medbench[video]'"
        ) from error
    with entrance(path, "video") as file:
        assert isinstance(file.header, VideoHeader)
        form = _DEMUXERS.get(file.header.container)
        try:
            with av.open(file.stream, mode="r", format=form) as container:
                if not container.streams.video:
                    raise corrupt("it holds no video stream")
                stream = container.streams.video[0]
                if not (stream.width and stream.height):
                    raise corrupt("its frames have no size")
                check_budget(_BYTES_A_PIXEL * stream.width * stream.height, file.budget_bytes)
                stream.thread_type = "AUTO"
                yield container, file.header
        except av.error.FFmpegError as error:
            raise corrupt(str(error.strerror or error)) from error


def video_facts(path: Path) -> VideoFacts:
    """Rate, size and sound of a video.

    Raises:
        MedbenchError: ``package.missing``, or what the gate refuses.
    """
    with _opened(path) as (container, _):
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or _DEFAULT_RATE
        return VideoFacts(Fraction(rate), stream.width, stream.height, bool(container.streams.audio))


def iterate_frames(path: Path) -> Iterator[tuple[int, float, Any]]:
    """Index, time in seconds and PyAV frame of every frame, in the order of showing.

    Raises:
        MedbenchError: also ``file.corrupt`` for a video that ends before the time that it announces, or
            holds no frame. Fewer frames than announced are no fault: containers count pauses too.
    """
    with _opened(path) as (container, header):
        stream = container.streams.video[0]
        rate = Fraction(stream.average_rate or stream.guessed_rate or _DEFAULT_RATE)
        header_s = _announced_s(container, stream)
        index, end = -1, 0.0
        for index, frame in enumerate(container.decode(stream)):
            if frame.is_corrupt:
                raise corrupt(f"frame {index} is damaged")
            time_s = index / float(rate) if frame.time is None else float(frame.time)
            end = max(end, time_s + 1 / float(rate))
            yield index, time_s, frame
        start = float((stream.start_time or 0) * (stream.time_base or 0))
        if index < 0 or end - start < header_s - max(_LOST_S, 2 / float(rate)):
            raise corrupt(f"ends early: {counted(index + 1, 'frame')}, {end - start:.1f} of {header_s:.1f} s")
        if index + 1 < (header.stored_frames or 0):
            raise corrupt(f"of its {header.stored_frames} frames {index + 1} can be decoded")


def _announced_s(container: Any, stream: Any) -> float:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and not container.streams.audio:
        return float(container.duration) / 1_000_000
    return 0.0


def frames_at(path: Path, indices: Sequence[int]) -> list[npt.NDArray[np.uint8]]:
    """Frames ``(height, width, 3)`` RGB at ascending indices, decoded in order and never sought.

    Raises:
        MedbenchError: as :func:`iterate_frames`, or ``data.frame_missing`` when the video is shorter.
    """
    positions, frames = set(indices), {}
    last = max(indices, default=-1)
    for index, _, frame in iterate_frames(path):
        if index in positions:
            frames[index] = frame.to_ndarray(format="rgb24")
        if index >= last:
            break
    if len(frames) < len(positions):
        raise MedbenchError(
            "data.frame_missing", f"{path}: has no frame {last}.", "The summary may be of another video."
        )
    return [frames[index] for index in indices]


def cut_video(path: Path, target: Path, keep: Callable[[int], bool]) -> None:
    """Write the frames to keep, with the sound that belongs to them, to an MP4 file, atomically.

    Frames are encoded anew as H.264 (MPEG-4 where this PyAV lacks it), sound as AAC; both run on without
    gaps.

    Args:
        path: the video.
        target: where to.
        keep: whether the frame of an index is kept.

    Raises:
        MedbenchError: as :func:`iterate_frames`; ``summary.empty`` when nothing is kept.
    """
    facts = video_facts(path)
    spans = _spans(path, keep)
    if not spans:
        raise MedbenchError("summary.empty", f"{path}: the summary has no frame.", "Nothing is written.")
    import av

    with atomic_path(target) as temporary, av.open(str(temporary), "w", format="mp4") as output:
        picture: Any = output.add_stream(_encoder(), rate=facts.frames_per_second)
        picture.width, picture.height = facts.width // 2 * 2, facts.height // 2 * 2
        picture.pix_fmt = "yuv420p"
        sound = output.add_stream("aac", rate=_SOUND_RATE, layout="stereo") if facts.sound else None
        count = 0
        for index, _, frame in iterate_frames(path):
            if keep(index):
                _encode_frame(output, picture, frame, count)
                count += 1
        output.mux(picture.encode())
        if sound is not None:
            _copy_sound(path, output, sound, spans)


def _encoder() -> str:
    import av

    return "libx264" if "libx264" in av.codecs_available else "mpeg4"


def _encode_frame(output: Any, stream: Any, frame: Any, count: int) -> None:
    import av

    planes = frame.reformat(stream.width, stream.height, "yuv420p")
    plain = av.VideoFrame.from_ndarray(planes.to_ndarray(), format="yuv420p")
    plain.pts = count
    plain.time_base = 1 / Fraction(stream.codec_context.framerate)
    output.mux(stream.encode(plain))


def _spans(path: Path, keep: Callable[[int], bool]) -> list[tuple[float, float]]:
    """Begin and end in seconds of every run of kept frames."""
    rate = float(video_facts(path).frames_per_second)
    spans: list[tuple[float, float]] = []
    before = False
    for index, time_s, _ in iterate_frames(path):
        inside = keep(index)
        if inside and before:
            spans[-1] = (spans[-1][0], time_s + 1 / rate)
        elif inside:
            spans.append((time_s, time_s + 1 / rate))
        before = inside
    return spans


def _copy_sound(path: Path, output: Any, stream: Any, spans: Sequence[tuple[float, float]]) -> None:
    """Sound within the spans, one after the other."""
    import av

    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=_SOUND_RATE)
    n_samples = 0
    with _opened(path) as (container, _):
        for packet in container.decode(container.streams.audio[0]):
            for frame in resampler.resample(packet):
                start = 0.0 if frame.time is None else float(frame.time)
                times = start + np.arange(frame.samples) / _SOUND_RATE
                inside = np.zeros(frame.samples, np.bool_)
                for begin, end in spans:
                    inside |= (times >= begin) & (times < end)
                if not inside.any():
                    continue
                samples = np.ascontiguousarray(frame.to_ndarray()[:, inside], np.float32)
                piece = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
                piece.rate, piece.pts, piece.time_base = _SOUND_RATE, n_samples, Fraction(1, _SOUND_RATE)
                n_samples += samples.shape[1]
                output.mux(stream.encode(piece))
    output.mux(stream.encode())
