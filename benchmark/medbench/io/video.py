"""Videos through OpenCV, decoded in order: a frame's index is its true position in the stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.files import atomic_path, sha256_json

if TYPE_CHECKING:
    import cv2


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    import cv2

    if not path.is_file():
        raise MedbenchError("file.unreadable", f"{path}: there is no such video.", "Check the data folder.")
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise MedbenchError(
                "file.corrupt",
                f"{path}: cannot be opened as a video ({path.stat().st_size:,} bytes).",
                "Copy the file again from its source.",
            )
        yield capture
    finally:
        capture.release()


def count_frames(path: Path) -> int:
    """Number of frames that the container announces.

    Raises:
        MedbenchError: ``file.unreadable`` or ``file.corrupt``.
    """
    import cv2

    with _opened(path) as capture:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT))


def read_frames(path: Path) -> npt.NDArray[np.uint8]:
    """Decode a whole video: ``(frames, height, width, 3)`` RGB, 8 bit.

    Raises:
        MedbenchError: ``file.unreadable``, or ``file.corrupt`` when it does not open, holds no frame,
            or ends before the number of frames that its container announces.
    """
    import cv2

    frames = []
    with _opened(path) as capture:
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        while True:
            decoded, frame = capture.read()
            if not decoded:
                break
            frames.append(frame[:, :, ::-1])
    if not frames or len(frames) < announced:
        raise MedbenchError(
            "file.corrupt",
            f"{path}: {len(frames)} of {announced} frames can be decoded.",
            "The file is truncated or damaged: copy it again from its source.",
        )
    return np.stack(frames)


def read_frame(path: Path, index: int) -> npt.NDArray[np.uint8]:
    """The frame at zero-based position ``index``: ``(height, width, 3)`` RGB, 8 bit.

    Earlier frames are decoded and skipped, never sought, since seeking is inexact for some codecs.

    Raises:
        MedbenchError: ``file.unreadable``, ``file.corrupt``, or ``data.frame_missing`` when the video
            is shorter.
    """
    with _opened(path) as capture:
        position = 0
        while position < index and capture.grab():
            position += 1
        decoded, frame = capture.read() if position == index else (False, None)
    if not decoded or frame is None:
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
    """All frames at ``size`` × ``size``, decoded once and kept under ``cache``, memory-mapped.

    Returns:
        ``(frames, size, size, 3)`` RGB, 8 bit.

    Raises:
        MedbenchError: as :func:`read_frames`.
    """
    from medbench.io.raster import resize_picture

    state = path.stat() if path.is_file() else None
    identity = [str(path.resolve()), size, state.st_size if state else 0, state.st_mtime_ns if state else 0]
    kept = cache / f"{path.stem}-{sha256_json(identity)[:16]}.npy"
    if not kept.exists():
        small = np.stack([resize_picture(frame, size, size) for frame in read_frames(path)])
        with atomic_path(kept) as temporary:
            np.save(temporary, small)
    return np.load(kept, mmap_mode="r")
