"""Short videos as features of sampled frames, with events that some annotators care for and others do not.

A video is a row of shots, each of one scene; in some of them something happens. Features are what a network
would give: rectified, of one scene's pattern with noise, with the pattern of the event on top as strongly as
it matters. Scenes and events are the same in all videos, so that what happens can be learnt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEATURES, FRAME_STEP, RATED_FRAMES = 1024, 15, 30
SCENES, EVENTS = 10, 4
_PATTERNS_SEED = 2015
_ROUNDING = 64.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class EventVideo:
    """A drawn video.

    Attributes:
        n_frames: of the video.
        picks: every 15th frame.
        change_points: first and last frame of each shot, both inclusive, ``(shots, 2)``.
        features: ``(steps, 1024)``, float32.
        event: which event each shot shows, −1 for none, ``(shots,)``.
        strength: how much it matters, 0 to 1, ``(shots,)``.
    """

    n_frames: int
    picks: npt.NDArray[np.int64]
    change_points: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    event: npt.NDArray[np.int64]
    strength: Array

    @property
    def shot_of_frame(self) -> npt.NDArray[np.int64]:
        """The shot that each frame belongs to, ``(frames,)``."""
        lengths = self.change_points[:, 1] - self.change_points[:, 0] + 1
        return np.repeat(np.arange(len(lengths)), lengths)


def patterns() -> tuple[Array, Array]:
    """Patterns of the scenes ``(scenes, 1024)`` and of the events ``(events, 1024)``."""
    rng = np.random.default_rng(_PATTERNS_SEED)
    scenes = np.maximum(rng.normal(0.1, 0.5, (SCENES, FEATURES)), 0)
    events = np.maximum(rng.normal(-0.6, 0.8, (EVENTS, FEATURES)), 0)
    return scenes, events


def draw_video(rng: np.random.Generator, shots: tuple[int, int] = (18, 26)) -> EventVideo:
    """A video of so many shots, of one to two seconds each.

    Args:
        rng: decides everything.
        shots: least number of shots, and one more than the largest.
    """
    count = int(rng.integers(*shots))
    lengths = rng.integers(24, 67, count)
    ends = lengths.cumsum()
    n_frames = int(ends[-1])
    change_points = np.stack([ends - lengths, ends - 1], axis=1)
    event = np.full(count, -1)
    happening = rng.choice(count, max(2, round(0.2 * count)), replace=False)
    event[happening] = rng.integers(0, EVENTS, len(happening))
    strength = np.where(event >= 0, rng.uniform(0.5, 1.0, count), 0.0)
    picks = np.arange(0, n_frames, FRAME_STEP)
    shot = np.repeat(np.arange(count), lengths)[picks]
    scenes, events = patterns()
    base = scenes[rng.integers(0, SCENES, count)][shot]
    signal = np.where((event >= 0)[shot, None], events[event[shot]], 0.0) * strength[shot, None]
    noise = rng.normal(0, 0.25, (len(picks), FEATURES))
    raw = np.maximum(base * rng.uniform(0.8, 1.2, (len(picks), 1)) + 1.5 * signal + noise, 0)
    features = (np.rint(raw * _ROUNDING) / _ROUNDING).astype(np.float32)
    return EventVideo(n_frames, picks, change_points, features, event, strength)


def draw_importance(video: EventVideo, rng: np.random.Generator, users: int, contrary: int) -> Array:
    """Importance of every frame, 0 to 1, by annotator, ``(users, frames)``.

    Most annotators weigh the events alike, give or take; the last ``contrary`` ones care for scenes without
    any. Everybody's opinion of a shot wavers.

    Args:
        video: what they see.
        rng: decides their opinions.
        users: number of annotators.
        contrary: how many of them disagree with the others.
    """
    taste = np.clip(rng.normal(1.0, 0.25, (users, EVENTS)), 0.3, None)
    liking = np.where(video.event >= 0, taste[:, video.event] * video.strength, 0.0)
    dull = np.where(video.event >= 0, 0.1, rng.uniform(0, 1, (users, len(video.event))))
    liking[users - contrary :] = dull[users - contrary :]
    opinion = np.clip(liking + rng.normal(0, 0.12, liking.shape), 0, 1)
    return opinion[:, video.shot_of_frame]


def draw_ratings(
    video: EventVideo, rng: np.random.Generator, users: int, contrary: int
) -> npt.NDArray[np.int64]:
    """Ratings from 1 to 5 of every second, by annotator, ``(users, frames)``."""
    importance = draw_importance(video, rng, users, contrary)
    starts = np.arange(0, video.n_frames, RATED_FRAMES)
    sizes = np.diff(np.append(starts, video.n_frames))
    means = np.add.reduceat(importance, starts, axis=1) / sizes
    return np.repeat(np.rint(1 + 4 * means).astype(np.int64), sizes, axis=1)
