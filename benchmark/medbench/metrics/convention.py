"""Conventions: each definition of a metric as data, one frozen record per definition.

Metrics of one name differ between libraries and organisers; each definition has its own id, and the id stands
in every record and table. The part after the dot says what is particular; a bare id is used where all agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from medbench.core.errors import MedbenchError
from medbench.core.registry import load_object
from medbench.core.score import Better

EmptyValue = float | Literal["undefined", "diagonal"] | None
Family = Literal[
    "overlap",
    "surface",
    "lesions",
    "instances",
    "grey",
    "classification",
    "detection",
    "biometry",
    "summary",
    "tissues",
]


@dataclass(frozen=True, slots=True)
class EmptyPolicy:
    """Which value a metric of two masks takes when one of them, or both, are empty.

    Each field is a number, ``"diagonal"`` (the image diagonal in the metric's unit), ``"undefined"``, or
    None: what the definition itself gives, which for a distance is undefined too.

    Attributes:
        name: name of the policy on the command line and in records.
        both: both masks empty.
        prediction: only the prediction empty.
        reference: only the reference empty.
        source: organiser or library that scores so.
    """

    name: str
    both: EmptyValue = None
    prediction: EmptyValue = None
    reference: EmptyValue = None
    source: str = ""


EMPTY_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "both": "both masks are empty",
        "prediction": "the prediction is empty",
        "reference": "the reference is empty",
    }
)
"""Field of :class:`EmptyPolicy` -> what is said where it applies."""
EMPTY_POLICIES: Mapping[str, EmptyPolicy] = MappingProxyType(
    {
        policy.name: policy
        for policy in (
            EmptyPolicy("definition", source="what the formula itself says; 0/0 and distances are undefined"),
            EmptyPolicy("agree", both=1.0, source="both agree: medpy.dc since 0.5.0, BraTS to 2023"),
            EmptyPolicy("zero_if_both", both=0.0, source="two empty masks: distance 0, MetricsReloaded"),
            EmptyPolicy(
                "skip_empty_reference", "undefined", None, "undefined",
                "MONAI DiceMetric(ignore_empty=True): a case with an empty reference is left out",
            ),
            EmptyPolicy(
                "diagonal", 0.0, "diagonal", "diagonal",
                "BraTS until 2022: CBICA/CaPTk@cce8818 cbicaITKUtilities.h, image diagonal in voxels",
            ),
            EmptyPolicy(
                "diagonal_if_one", "undefined", "diagonal", "diagonal",
                "medbench: nothing to measure in two empty masks, the image diagonal when only one is empty",
            ),
            EmptyPolicy(
                "zero_if_one", "undefined", 0.0, 0.0,
                "medbench: nothing to measure in two empty masks, share 0 when only one is empty",
            ),
            EmptyPolicy("brats2023", 0.0, 374.0, 374.0, "rachitsaluja/BraTS-2023-Metrics@43c9052, distances"),
            EmptyPolicy("brats2025", "undefined", 373.0, 373.0, "BraTS_evaluation 0.0.8, distances"),
            EmptyPolicy(
                "incomplete_modality", 0.0, 1.0, 1.0,
                "Jun-Jie-Shi/PASSION@fd308b5 utils/predict.py, HD95",
            ),
            EmptyPolicy(
                "transunet_dice", 0.0, 0.0, 1.0,
                "Beckschen/TransUNet utils.py: a false positive on an empty reference scores 1 (known bias)",
            ),
            EmptyPolicy(
                "transunet_hd95", 0.0, 0.0, 0.0,
                "Beckschen/TransUNet utils.py: an empty mask scores 0 (known bias)",
            ),
        )
    }
)  # fmt: skip


def empty_policy(policy: EmptyPolicy | str) -> EmptyPolicy:
    """A policy by name.

    Raises:
        MedbenchError: ``metric.empty_policy`` for an unknown name.
    """
    if isinstance(policy, EmptyPolicy):
        return policy
    if not isinstance(policy, str) or policy not in EMPTY_POLICIES:
        raise MedbenchError(
            "metric.empty_policy",
            f"There is no rule for empty masks named '{policy}'.",
            f"Known: {', '.join(EMPTY_POLICIES)}.",
        )
    return EMPTY_POLICIES[policy]


@cache
def _imported(target: str) -> Callable[..., Any]:
    function: Callable[..., Any] = load_object(target)
    return function


@dataclass(frozen=True, slots=True)
class Convention:
    """One definition of one metric.

    Attributes:
        id: the name that stands in records and tables.
        title: name of the metric in the field.
        family: kind of data that the metric compares (masks, lesions, labels, boxes …).
        definition: the rule in a sentence or a formula.
        differs: in a few words, what sets it apart from others of the same name.
        source: organiser, library with version, or paper with section.
        target: the function that computes it, or ``"module:function"``. For masks it takes a
            :class:`medbench.metrics.MaskPair`, else reference and prediction (and ``spacing`` where
            ``needs_spacing``); then the options by name. It gives a number, or None where the definition has
            no answer.
        unit: ``"1"`` for ratios; ``"mm"`` for distances, which are pixels under ``spacing="pixel"``.
        better: ``"higher"`` or ``"lower"``.
        range: least and largest possible value.
        needs_spacing: whether ``spacing`` has to be given.
        empty: rule for empty masks unless another is asked for.
        options: further keywords with their defaults; None for one that has to be given.
        needs_frame: for masks, whether the number depends on more than the objects: on where in the image
            they lie, or on the background far from them. Left at False, this is a promise: the function
            gives the same number when both masks are cut to any box that holds all of both objects and, where
            the image goes on, eight elements around them. All metrics of a case share one such box. With
            True, the function gets the masks of the whole image, which costs time on large ones.
        symmetric: whether exchanging reference and prediction leaves the number as it is.
        equals: what else gives this number (library functions, for tests and tables).
        example: a doctest.
    """

    id: str
    title: str
    family: Family
    definition: str
    source: str
    target: str | Callable[..., Any]
    differs: str = ""
    unit: str = "1"
    better: Better = "higher"
    range: tuple[float, float] = (0.0, 1.0)
    needs_spacing: bool = False
    empty: EmptyPolicy = EMPTY_POLICIES["definition"]
    options: Mapping[str, Any] = field(default_factory=dict)
    needs_frame: bool = False
    symmetric: bool = False
    equals: tuple[str, ...] = ()
    example: str = ""

    @property
    def compares_masks(self) -> bool:
        """Whether reference and prediction are arrays of one shape that ``label`` can select from."""
        return self.family in ("overlap", "surface", "lesions", "instances")

    @property
    def rule(self) -> Callable[..., Any]:
        """The function that computes the metric, imported at first use."""
        return self.target if callable(self.target) else _imported(self.target)

    @property
    def origin(self) -> str:
        """``"module:function"``, for messages."""
        if isinstance(self.target, str):
            return self.target
        module = getattr(self.target, "__module__", "?")
        return f"{module}:{getattr(self.target, '__qualname__', self.target)}"

    def as_json(self) -> dict[str, Any]:
        """Plain values for listings; an unbounded range ends in null."""
        low, high = (None if abs(bound) == float("inf") else bound for bound in self.range)
        return {
            "id": self.id,
            "title": self.title,
            "family": self.family,
            "definition": self.definition,
            "differs": self.differs,
            "source": self.source,
            "unit": self.unit,
            "better": self.better,
            "range": [low, high],
            "needs_spacing": self.needs_spacing,
            "empty": {
                "name": self.empty.name,
                "both": self.empty.both,
                "prediction": self.empty.prediction,
                "reference": self.empty.reference,
            },
            "options": dict(self.options),
            "needs_frame": self.needs_frame,
            "symmetric": self.symmetric,
            "equals": list(self.equals),
            "example": self.example,
        }


def example_call(setup: str, id: str, output: str, extra: str = "") -> str:
    """A doctest of one call, its value rounded to four digits."""
    return f"{setup}>>> round(medbench.score({id!r}, reference, prediction{extra}).value, 4)\n{output}"
