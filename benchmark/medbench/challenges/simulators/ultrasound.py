"""A simulator of intrapartum and fetal-head ultrasound: videos and single images with exact labels.

The generator alone decides what is drawn: a video has the same bytes for the same seed, whatever else is
drawn before or at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from medbench.challenges.simulators.anatomy import Oval, Probe, draw_anatomy, transperineal_probe
from medbench.challenges.simulators.scene import Scene, View
from medbench.core.errors import MedbenchError

if TYPE_CHECKING:
    from collections.abc import Callable

Content = Literal["symphysis_and_head", "symphysis", "head", "transthalamic_head"]
StandardPlane = Literal["all", "none", "mixed"]


@dataclass(frozen=True, slots=True)
class Clip:
    """A simulated video.

    Attributes:
        frames: ``(frames, size, size)``, 8-bit grey.
        labels: ``(frames, size, size)``, 8-bit: 0 background, 1 pubic symphysis, 2 fetal head; valid in
            standard-plane frames only.
        standard_plane: ``(frames,)``, whether a frame shows the standard plane.
    """

    frames: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    standard_plane: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Frame:
    """A simulated single image.

    Attributes:
        image: ``(height, width)``, 8-bit grey.
        labels: ``(height, width)``, 8-bit: 0 background, 1 pubic symphysis, 2 fetal head.
        symphysis: shape of the symphysis; ``None`` where the image shows none.
        head: shape of the head; ``None`` where the image shows none.
    """

    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    symphysis: Oval | None
    head: Oval | None

    def pixels(self, oval: Oval) -> tuple[float, float, float, float, float]:
        """A shape in pixels: centre x and y (the first pixel is at 0, 0), semi-axes, angle in degrees."""
        height, width = self.image.shape
        side = max(height, width)
        x = (oval.x - 0.5) * side + width / 2 - 0.5
        return x, oval.y * side - 0.5, oval.a * side, oval.b * side, float(np.degrees(oval.angle))


def draw_video(
    rng: np.random.Generator,
    *,
    n_frames: int,
    size: int = 512,
    standard_plane: StandardPlane = "all",
) -> Clip:
    """A simulated video.

    Every frame has a clarity between 0 and 1, and is a standard plane when that is above 0.5. Below it the
    plane departs in one of four ways, drawn for the clip: the symphysis fades and the head is cut off-centre;
    both are cut obliquely, faint and smeared; the view is swept aside; the head is absent. A ``none`` clip
    passes through three of them. An ``all`` clip
    stays above 0.85, a ``none`` clip below 0.25, and a ``mixed`` clip begins low and rises within some frames
    to the standard plane, where it ends.

    Args:
        rng: source of everything random.
        n_frames: number of frames.
        size: side of the square frames in pixels.
        standard_plane: which frames are standard planes.

    Raises:
        MedbenchError: ``synthesis.frames`` for fewer than one frame.
    """
    if n_frames < 1:
        raise MedbenchError(
            "synthesis.frames", f"A video cannot have {n_frames} frames.", "Ask for one or more."
        )
    scene = Scene(rng, size, size, transperineal_probe(rng))
    symphysis, head = draw_anatomy(rng, scene.probe)
    clarity = _clarity(rng, n_frames, standard_plane)
    move = _motion(rng, n_frames, symphysis, head, 3 if standard_plane == "none" else 1)
    frames, labels = [], []
    for index, clear in enumerate(clarity):
        view = move(index, 1 - float(clear))
        frames.append(scene.frame(view))
        labels.append(scene.labels(view.symphysis, view.head))
    return Clip(np.stack(frames), np.stack(labels), clarity > 0.5)


def _motion(
    rng: np.random.Generator, n_frames: int, symphysis: Oval, head: Oval, n_faults: int
) -> Callable[[int, float], View]:
    """A function that gives the view of a frame from its distance to the standard plane, 0 to 1.

    Several faults follow and overlap each other over the clip.
    """
    faults = rng.permutation(["head_only", "oblique", "aside", "no_head"])[:n_faults]
    side = rng.choice([-1.0, 1.0])
    away = side * rng.uniform(0.22, 0.36)
    drift = rng.uniform(-0.04, 0.04, 2)
    descent, rotation = rng.uniform(0, 0.012), rng.uniform(-0.08, 0.08)
    sway, breath = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0.001, 0.005)
    jitter = rng.normal(0, 0.0008, (n_frames, 2))
    void, shrink = rng.uniform(0.5, 1), rng.uniform(0.05, 0.25)
    void_always = rng.uniform(0, 0.3) * (rng.uniform() < 0.3)
    gain_sway, gain_phase = rng.uniform(0.5, 3), rng.uniform(0, 2 * np.pi)

    def view(index: int, off: float) -> View:
        moment = index / max(1, n_frames - 1)
        near = np.clip(1.4 * (1 - np.abs(moment * (n_faults - 1) - np.arange(n_faults))), 0, 1)
        share = {str(fault): off * float(weight) for fault, weight in zip(faults, near, strict=True)}
        head_only, oblique = share.get("head_only", 0.0), share.get("oblique", 0.0)
        aside, no_head = share.get("aside", 0.0), share.get("no_head", 0.0)
        dx, dy = drift * (moment - 0.5) + breath * np.sin(sway + 0.26 * index) + jitter[index]
        sweep = dx + away * aside
        return View(
            symphysis.moved(sweep, dy - 0.02 * head_only, 0.3 * rotation * moment),
            head.moved(
                sweep + 0.16 * side * head_only,
                dy + descent * moment,
                rotation * moment,
                1 - shrink * head_only,
            ),
            (1 - head_only) ** 1.5 * (1 - 0.85 * oblique) * (1 - 0.6 * aside) * (1 - 0.5 * no_head),
            (1 - 0.5 * oblique) * (1 - no_head) ** 1.5,
            max(void_always, void * no_head),
            1 + 3.0 * oblique,
            (float(sweep), float(dy)),
            float(gain_sway * np.sin(gain_phase + 6 * moment)),
        )

    return view


def _clarity(
    rng: np.random.Generator, n_frames: int, standard_plane: StandardPlane
) -> npt.NDArray[np.float64]:
    """How much of the standard plane each frame shows, 0 to 1."""
    if standard_plane == "all":
        return np.clip(rng.uniform(0.9, 1) + rng.normal(0, 0.02, n_frames), 0.85, 1)
    if standard_plane == "none":
        return np.clip(rng.uniform(0, 0.2) + rng.normal(0, 0.03, n_frames), 0, 0.25)
    turn = rng.uniform(0.3, 0.55) * n_frames
    array: npt.NDArray[np.float64] = 0.03 + 0.94 / (
        1 + np.exp(-(np.arange(n_frames) - turn) / rng.uniform(0.6, 1.2))
    )
    return array


def draw_frame(
    rng: np.random.Generator,
    *,
    height: int = 256,
    width: int = 256,
    content: Content = "symphysis_and_head",
) -> Frame:
    """A simulated single image.

    Args:
        rng: source of everything random.
        height: of the image in pixels.
        width: of the image in pixels; transperineal images must be square.
        content: structures drawn in a transperineal image, or ``transthalamic_head`` for the fetal head
            alone through the abdomen, as for head circumference; there the head is an exact ellipse.

    Raises:
        MedbenchError: ``synthesis.shape`` when a transperineal image is not square.
    """
    if content == "transthalamic_head":
        return _transthalamic(rng, height, width)
    if height != width:
        raise MedbenchError(
            "synthesis.shape",
            f"A transperineal image is square, not {height} x {width} pixels.",
            "Ask for a square one; only transthalamic_head has any shape.",
        )
    scene = Scene(rng, height, width, transperineal_probe(rng))
    symphysis, head = draw_anatomy(rng, scene.probe)
    structures = (content != "head", content != "symphysis")
    image = scene.frame(View(symphysis, head, float(structures[0]), float(structures[1])))
    shapes = symphysis if structures[0] else None, head if structures[1] else None
    return Frame(image, scene.labels(*shapes), *shapes)


def _transthalamic(rng: np.random.Generator, height: int, width: int) -> Frame:
    tall, half_wide = height / max(height, width), width / max(height, width) / 2
    near = rng.uniform(0.3, 0.45)
    apex = near * rng.uniform(0.86, 0.95)
    half_angle = np.arctan2(half_wide * rng.uniform(0.85, 1.05), apex + 0.6 * tall)
    scene = Scene(rng, height, width, Probe(apex, near, apex + tall * rng.uniform(0.95, 1.05), half_angle))
    scene.transthalamic, scene.skull_loss_db = True, rng.uniform(0.5, 2.5)
    scene.far_wall_db, scene.head_db = scene.skull_db * rng.uniform(0.8, 1), rng.uniform(5, 11)
    a = tall * rng.uniform(0.26, 0.42)
    head = Oval(
        0.5 + rng.uniform(-0.06, 0.06),
        tall * rng.uniform(0.47, 0.56),
        a,
        a * rng.uniform(0.72, 0.86),
        rng.normal(0, 0.35) + np.pi * rng.integers(2),
    )
    image = scene.frame(View(head, head, symphysis_clarity=0.0))
    return Frame(image, scene.labels(None, head), None, head)
