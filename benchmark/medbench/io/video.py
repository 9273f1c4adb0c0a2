"""Reading and writing of videos by OpenCV, decoded in order, so that indices of frames are exact."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path
from medbench.io import caches
from medbench.io.gate.admission import entrance
from medbench.io.gate.containers import VideoHeader
from medbench.io.gate.expected import Expected, check_budget
from medbench.io.gate.refusal import Reject, corrupt

if TYPE_CHECKING:
    import cv2

MEMORY_BYTES = 16 << 30


@dataclass(frozen=True, slots=True)
class _Video:
    capture: cv2.VideoCapture
    stored_frames: int | None
    budget_bytes: int


@contextlib.contextmanager
def _opened(path: Path, root: Path | None = None, expected: Expected | None = None) -> Iterator[_Video]:
    """A video at its first frame, after a check that its container is complete; frames stay as stored."""
    import cv2

    expected = expected or Expected(memory_bytes=MEMORY_BYTES)
    with entrance(path, "video", root=root, expected=expected) as file:
        assert isinstance(file.header, VideoHeader)
        assert file.stream is not None
        capture = cv2.VideoCapture(_name(file.stream, path), cv2.CAP_FFMPEG)
        try:
            if not capture.isOpened():
                raise corrupt("it cannot be opened")
            if not os.path.samestat(os.fstat(file.stream.fileno()), path.stat()):
                raise Reject("file.unreadable", "changed while it was read", "Wait until it is written.")
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
            yield _Video(capture, file.header.stored_frames, file.budget_bytes)
        except cv2.error as error:
            raise corrupt("its frames do not decode") from error
        finally:
            capture.release()


def _name(stream: BufferedReader, path: Path) -> str:
    """A name by which the decoder opens the very file that was checked, where the system has one."""
    by_handle = f"/dev/fd/{stream.fileno()}"
    return by_handle if os.path.exists(by_handle) else str(path)


def count_frames(path: Path) -> int:
    """Number of frames that decode, which may differ from the number in the container.

    Raises:
        MedbenchError: what the gate refuses.
    """
    with _opened(path) as video:
        if video.stored_frames is not None:
            return video.stored_frames
        count = 0
        while video.capture.grab():
            count += 1
        return count


def frame_size(path: Path) -> tuple[int, int]:
    """Height and width of a video's frames by its header; no frame is decoded.

    Raises:
        MedbenchError: what the gate refuses.
    """
    import cv2

    with _opened(path) as video:
        sides = cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH
        height, width = (round(video.capture.get(side)) for side in sides)
        return height, width


def read_frames(
    path: Path, *, root: Path | None = None, expected: Expected | None = None
) -> npt.NDArray[np.uint8]:
    """All frames of a video, ``(frames, height, width, 3)`` RGB, 8 bit.

    Pauses and edit lists, with more frames in the container than are played, are no errors.

    Args:
        path: the file.
        root: the folder that it may not leave; its own if not given.
        expected: whose file it is, and what it may take.

    Raises:
        MedbenchError: refusals of the gate, ``file.corrupt`` also for a truncated file, without a frame or
            with frames that do not decode.
    """
    frames: list[npt.NDArray[np.uint8]] = []
    with _opened(path, root, expected) as video:
        while True:
            ok, frame = video.capture.read()
            if not ok:
                break
            if frames and frame.shape != frames[0].shape:
                raise corrupt("its frames differ in size")
            frames.append(np.asarray(frame[:, :, ::-1], np.uint8))
            check_budget(2 * len(frames) * frame.nbytes, video.budget_bytes)
        if not frames or len(frames) < (video.stored_frames or 0):
            raise corrupt(f"of its {video.stored_frames or 0} frames {len(frames)} can be decoded")
    return np.stack(frames)


def read_frame(path: Path, index: int) -> npt.NDArray[np.uint8]:
    """The frame at zero-based position ``index``: ``(height, width, 3)`` RGB, 8 bit.

    Earlier frames are decoded and skipped, since seeking is inexact for some codecs.

    Raises:
        MedbenchError: what the gate refuses, or ``data.frame_missing`` when the video is shorter.
    """
    with _opened(path) as video:
        position = 0
        while position < index and video.capture.grab():
            position += 1
        ok, frame = video.capture.read() if position == index else (False, None)
    if not ok or frame is None:
        raise MedbenchError(
            "data.frame_missing",
            f"{path}: has no frame {index}; it ends after {position}.",
            "The mask names another frame than the video has, or the video is truncated.",
        )
    return np.ascontiguousarray(frame[:, :, ::-1])


def write_video(path: Path, frames: npt.NDArray[Any], frames_per_second: float = 24.0) -> None:
    """Write 8-bit grey ``(frames, height, width)`` or RGB ``(…, 3)`` frames as Motion-JPEG, atomically."""
    import cv2

    height, width = frames.shape[1:3]
    with atomic_path(path) as temporary:
        codec = cv2.VideoWriter.fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(temporary), codec, frames_per_second, (width, height))
        if not writer.isOpened():
            raise MedbenchError(
                "file.unwritable", f"{path}: this OpenCV build cannot write videos.", "Use .avi."
            )
        for frame in frames:
            colours = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) if frame.ndim == 2 else frame[:, :, ::-1]
            writer.write(np.ascontiguousarray(colours))
        writer.release()


def resized_frames(path: Path, size: int, cache: Path) -> npt.NDArray[np.uint8]:
    """All frames resized to ``size`` × ``size``, decoded once, cached in the folder ``cache``, memory-mapped.

    Returns:
        ``(frames, size, size, 3)`` RGB, 8 bit.

    Raises:
        MedbenchError: as :func:`read_frames`.
    """
    from medbench.io.raster import resize_image

    entry = caches.place(cache, path, "video", size)
    return caches.cached_array(
        entry,
        lambda: np.stack([resize_image(frame, size, size) for frame in read_frames(path)]),
        memory_map=True,
    )
