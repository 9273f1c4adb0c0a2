"""Values of other metric libraries on the same pair, for comparison only: never for a score.

They are optional (``pip install 'medbench[reference]'``) and are imported by name when asked for: medpy
is GPL-3 and stays out of every other path through this package.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name
from medbench.core.text import first_line
from medbench.metrics.arrays import Mask, Spacing

_Rule = Callable[[Mask, Mask, Spacing, float], float]


@dataclass(frozen=True, slots=True)
class PeerValue:
    """Value of one function of another library.

    Attributes:
        library: name and version of the library.
        function: the function that was called.
        metric: our id for the same definition.
        value: the value; None when the function raised or returned NaN or infinity.
        problem: the exception, or the value that is not finite.
    """

    library: str
    function: str
    metric: str
    value: float | None
    problem: str = ""


def _medpy() -> dict[str, tuple[str, _Rule]]:
    binary: Any = importlib.import_module("medpy.metric.binary")
    plain = {
        "dice": "dc", "iou": "jc", "sensitivity": "sensitivity", "specificity": "specificity",
        "precision": "precision",
    }  # fmt: skip
    distances = {
        "hd": "hd",
        "hd95.pooled": "hd95",
        "assd.pooled": "assd",
        "asd.prediction_to_reference": "asd",
    }
    rules: dict[str, tuple[str, _Rule]] = {}
    for id, name in plain.items():
        rule = getattr(binary, name)
        rules[id] = (f"binary.{name}", lambda r, p, s, t, rule=rule: rule(p, r))  # type: ignore[misc]
    for id, name in distances.items():
        rule = getattr(binary, name)
        rules[id] = (f"binary.{name}", lambda r, p, s, t, rule=rule: rule(p, r, voxelspacing=s))  # type: ignore[misc]
    return rules


def _monai() -> dict[str, tuple[str, _Rule]]:
    metrics: Any = importlib.import_module("monai.metrics")
    torch: Any = importlib.import_module("torch")

    def pair(r: Mask, p: Mask) -> tuple[Any, Any]:
        return tuple(torch.from_numpy(np.ascontiguousarray(m))[None, None].float() for m in (p, r))

    def hausdorff(percentile: float | None) -> _Rule:
        return lambda r, p, s, t: metrics.compute_hausdorff_distance(
            *pair(r, p), include_background=True, percentile=percentile, spacing=list(s)
        )

    def average(symmetric: bool) -> _Rule:
        return lambda r, p, s, t: metrics.compute_average_surface_distance(
            *pair(r, p), include_background=True, symmetric=symmetric, spacing=list(s)
        )

    def surface_dice(subvoxels: bool) -> _Rule:
        return lambda r, p, s, t: metrics.compute_surface_dice(
            *pair(r, p), [t], include_background=True, spacing=list(s), use_subvoxels=subvoxels
        )

    return {
        "dice": ("compute_dice", lambda r, p, s, t: metrics.compute_dice(*pair(r, p))),
        "iou": ("compute_iou", lambda r, p, s, t: metrics.compute_iou(*pair(r, p))),
        "hd": ("compute_hausdorff_distance", hausdorff(None)),
        "hd95.max": ("compute_hausdorff_distance(percentile=95)", hausdorff(95)),
        "assd.pooled": ("compute_average_surface_distance(symmetric=True)", average(True)),
        "asd.prediction_to_reference": ("compute_average_surface_distance", average(False)),
        "nsd.count": ("compute_surface_dice", surface_dice(False)),
        "nsd.area": ("compute_surface_dice(use_subvoxels=True)", surface_dice(True)),
    }


def _surface_distance() -> dict[str, tuple[str, _Rule]]:
    library: Any = importlib.import_module("surface_distance")

    def robust(percent: float) -> _Rule:
        return lambda r, p, s, t: library.compute_robust_hausdorff(
            library.compute_surface_distances(r, p, s), percent
        )

    return {
        "hd.area": ("compute_robust_hausdorff(100)", robust(100)),
        "hd95.area": ("compute_robust_hausdorff(95)", robust(95)),
        "assd.area": (
            "mean of compute_average_surface_distance",
            lambda r, p, s, t: np.mean(
                library.compute_average_surface_distance(library.compute_surface_distances(r, p, s))
            ),
        ),
        "nsd.area": (
            "compute_surface_dice_at_tolerance",
            lambda r, p, s, t: library.compute_surface_dice_at_tolerance(
                library.compute_surface_distances(r, p, s), t
            ),
        ),
    }


def _simpleitk() -> dict[str, tuple[str, _Rule]]:
    sitk: Any = importlib.import_module("SimpleITK")

    def run(r: Mask, p: Mask, s: Spacing) -> Any:
        images = []
        for mask in (r, p):
            image = sitk.GetImageFromArray(mask.astype(np.uint8))
            image.SetSpacing(s[::-1])
            images.append(image)
        measure = sitk.HausdorffDistanceImageFilter()
        measure.Execute(*images)
        return measure

    name = "HausdorffDistanceImageFilter"
    return {
        "hd.set": (name, lambda r, p, s, t: run(r, p, s).GetHausdorffDistance()),
        "ahd.set": (
            f"{name}.GetAverageHausdorffDistance",
            lambda r, p, s, t: run(r, p, s).GetAverageHausdorffDistance(),
        ),
    }


def _torchmetrics() -> dict[str, tuple[str, _Rule]]:
    functional: Any = importlib.import_module("torchmetrics.functional.segmentation")
    torch: Any = importlib.import_module("torch")

    def hausdorff(r: Mask, p: Mask, s: Spacing, t: float) -> float:
        maps = [torch.from_numpy(m.astype(np.int64))[None] for m in (p, r)]
        return float(
            functional.hausdorff_distance(
                *maps, num_classes=2, include_background=False, spacing=list(s), input_format="index"
            )
        )

    return {"hd": ("segmentation.hausdorff_distance", hausdorff)}


PEERS: dict[str, tuple[str, Callable[[], dict[str, tuple[str, _Rule]]]]] = {
    "medpy": ("medpy", _medpy),
    "monai": ("monai", _monai),
    "simpleitk": ("SimpleITK", _simpleitk),
    "surface-distance": ("surface-distance", _surface_distance),
    "torchmetrics": ("torchmetrics", _torchmetrics),
}


def peer_values(
    libraries: Sequence[str], reference: Mask, prediction: Mask, spacing: Spacing, *, tolerance: float
) -> Iterator[PeerValue]:
    """Values of all functions of other libraries that have a counterpart among our metrics.

    Args:
        libraries: names out of :data:`PEERS`.
        reference: boolean mask.
        prediction: the same shape.
        spacing: step along each array axis.
        tolerance: of surface Dice.

    Raises:
        MedbenchError: ``library.unknown``, or ``library.missing`` with the line that installs it.
    """
    for name in libraries:
        if name not in PEERS:
            raise unknown_name("library", name, PEERS)
        distribution, rules_of = PEERS[name]
        try:
            rules = rules_of()
            version = importlib.metadata.version(distribution)
        except ImportError as error:
            raise MedbenchError(
                "library.missing", f"{name} cannot be imported ({error}).", f"pip install {distribution}"
            ) from error
        for id, (function, rule) in rules.items():
            masks = reference, prediction
            yield _asked(f"{distribution} {version}", function, id, rule, masks, spacing, tolerance)


def _asked(
    library: str,
    function: str,
    id: str,
    rule: _Rule,
    masks: tuple[Mask, Mask],
    spacing: Spacing,
    tolerance: float,
) -> PeerValue:
    try:
        value = float(rule(*masks, spacing, tolerance))
    except Exception as error:  # noqa: BLE001  (whatever a foreign library raises is an answer to show)
        first = first_line(error, "")
        return PeerValue(library, function, id, None, f"{type(error).__name__}: {first}"[:120])
    if not np.isfinite(value):
        return PeerValue(library, function, id, None, f"gives {value}")
    return PeerValue(library, function, id, value)
