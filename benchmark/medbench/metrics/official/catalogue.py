"""Definitions that compare lesions and instances: BraTS 2023 to 2025, panoptic quality."""

from __future__ import annotations

from typing import Any

from medbench.metrics.convention import Convention
from medbench.metrics.official.lesions import LESION_RULES, LesionRule

_INF = float("inf")
_BLOBS = """\
>>> import numpy as np, medbench
>>> reference, prediction = np.zeros((2, 24, 24, 24), np.uint8)
>>> reference[3:9, 3:9, 3:9] = 1; reference[15:20, 15:20, 15:20] = 1
>>> prediction[4:9, 3:9, 3:9] = 1; prediction[20, 4, 4] = 1
"""


def example_call(setup: str, id: str, expected: str, extra: str = "") -> str:
    """A doctest of one call, its value rounded to four digits."""
    return f"{setup}>>> round(medbench.score({id!r}, reference, prediction{extra}).value, 4)\n{expected}"


_M23 = "rachitsaluja/BraTS-2023-Metrics@43c9052"
_M24 = "rachitsaluja/BraTS-2024-Metrics@f1131e3"


def _lesion_metrics(name: str, rule: LesionRule) -> tuple[Convention, ...]:
    challenge = name.upper().replace("BRATS", "BraTS ").replace("_", " ")
    size = "mm³" if not rule.merge_prediction else "mm³ (predictions: voxels)"
    text = (
        f"{rule.iterations} dilations; reference lesions of at most {rule.threshold:g} {size} are left out; "
        f"missed lesions and false positives count Dice 0, HD95 {rule.penalty}"
    )
    source = _M24 if rule.merge_prediction else _M23
    setup = f"{_BLOBS}>>> options = dict(spacing=(1.0, 1.0, 1.0))\n"
    common: dict[str, Any] = {"family": "lesions", "source": source, "needs_spacing": True, "differs": text}
    found = [
        Convention(
            id=f"dice.lesionwise.{name}", title=f"Lesion-wise Dice, {challenge}",
            definition=f"sum of the lesions' Dice over lesions plus false positives; {text}",
            target="medbench.metrics.official.lesions:dice_lesionwise", options={"rule": name},
            example=f"{setup}>>> 0 < medbench.score('dice.lesionwise.{name}', reference, prediction, "
            "**options).value < 1\nTrue", **common,
        ),
        Convention(
            id=f"hd95.lesionwise.{name}", title=f"Lesion-wise HD95, {challenge}",
            definition=f"mean area-weighted HD95 over lesions and false positives; {text}",
            target="medbench.metrics.official.lesions:hd95_lesionwise", options={"rule": name},
            unit="mm", better="lower", range=(0.0, _INF),
            example=f"{setup}>>> medbench.score('hd95.lesionwise.{name}', reference, prediction, "
            "**options).value > 1\nTrue", **common,
        ),
    ]  # fmt: skip
    if rule.merge_prediction:
        found.append(
            Convention(
                id=f"nsd.lesionwise.{name}", title=f"Lesion-wise surface Dice, {challenge}",
                definition=f"sum of the lesions' surface Dice over lesions plus false positives; {text}",
                target="medbench.metrics.official.lesions:nsd_lesionwise",
                options={"rule": name, "tolerance": 1.0},
                example=f"{setup}>>> 0 < medbench.score('nsd.lesionwise.{name}', reference, prediction, "
                "**options).value < 1\nTrue", **common,
            )
        )  # fmt: skip
    return tuple(found)


_NEED_OTHER_TISSUES = ("brats2024_gli_et", "brats2024_gli_netc", "brats2024_gli_rc")
LESIONS = tuple(
    convention
    for name, rule in LESION_RULES.items()
    if name not in _NEED_OTHER_TISSUES
    for convention in _lesion_metrics(name, rule)
)

_TISSUE_MAPS = """\
>>> import numpy as np, medbench
>>> reference = np.zeros((24, 24, 24), np.uint8); reference[4:14, 4:14, 4:14] = 2
>>> reference[6:9, 6:9, 6:9] = 3; reference[9:12, 6:9, 6:9] = 1; reference[16:20, 4:12, 4:12] = 4
>>> prediction = np.roll(reference, 1, axis=2)
"""


def _tissue_metrics(tissue: str) -> tuple[Convention, ...]:
    name = f"brats2024_gli_{tissue.lower()}"
    rule = LESION_RULES.get(name, LESION_RULES["brats2024_gli"])
    text = (
        f"lesions of {tissue} that touch one lesion of another tissue are one; {rule.iterations} dilations; "
        f"at most {rule.threshold:g} mm³ left out; missed lesions and false positives count 0, "
        f"HD95 {rule.penalty}"
    )
    common: dict[str, Any] = {
        "family": "tissues", "source": _M24, "needs_spacing": True, "differs": text,
        "target": "medbench.metrics.official.lesion_tissues:tissue_score",
    }  # fmt: skip
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "dice": ("Dice", {}),
        "hd95": ("HD95", {"unit": "mm", "better": "lower", "range": (0.0, _INF)}),
        "nsd": ("surface Dice at 1 mm", {}),
    }
    return tuple(
        Convention(
            id=f"{kind}.lesionwise.{name}", title=f"Lesion-wise {title}, {tissue}, BraTS 2024 GLI",
            definition=f"mean over the lesions and false positives; {text}",
            options={"tissue": tissue, "value": kind},
            example=f"{_TISSUE_MAPS}>>> medbench.score('{kind}.lesionwise.{name}', reference, prediction, "
            "spacing=(1.0, 1.0, 1.0)).value > 0.5\nTrue", **common, **facts,
        )
        for kind, (title, facts) in kinds.items()
    )  # fmt: skip


TISSUES = tuple(
    convention for tissue in ("ET", "NETC", "SNFH", "RC") for convention in _tissue_metrics(tissue)
)

_EV = "BraTS_evaluation 0.0.8 with panoptica 2.1.7"
_ONE_TO_ONE = "components by 26 neighbours, matched one to one by maximum Dice, pairs above 1e-6"
_UNIT = ", spacing=(1.0, 1.0, 1.0)"


def _brats2025(id: str, function: str, title: str, rule: str, expected: str, **facts: Any) -> Convention:
    options = {"faithful": True, **facts.pop("options", {})}
    return Convention(
        id=id, title=title, family="lesions", definition=f"{rule}; {_ONE_TO_ONE}", source=_EV,
        target=f"medbench.metrics.official.matching:{function}", needs_spacing=True, options=options,
        differs="one-to-one matching, no dilation; faithful=False undoes the program's spacing errors",
        example=example_call(_BLOBS, id, expected, _UNIT), **facts,
    )  # fmt: skip


_FAR: dict[str, Any] = {"unit": "mm", "better": "lower", "range": (0.0, _INF)}
_CORRECT: dict[str, Any] = {"faithful": False}
MATCHED = (
    _brats2025(
        "f1.brats2025", "instance_f1", "Instance F1, BraTS 2025",
        "TP / (TP + FP/2 + FN/2)", "0.5",
    ),
    _brats2025(
        "hd95.brats2025", "global_hd95", "HD95 of the whole masks, BraTS 2025",
        "pooled 95th percentile, in voxels; 373 when one is empty or nothing matches", "17.0587", **_FAR,
    ),
    _brats2025(
        "nsd.brats2025", "global_nsd", "Surface Dice of the whole masks, BraTS 2025",
        "mean of the two directed shares within 0.5 voxels", "0.6681",
    ),
    _brats2025(
        "dice.brats2025_mets", "dice_metastases", "Lesion-wise Dice, BraTS 2025 metastases",
        "mean over reference lesions of at least 27 mm³ and all false positives, which count 0", "0.303",
        options={"threshold": 27.0},
    ),
    _brats2025(
        "nsd.brats2025_mets", "nsd_metastases", "Lesion-wise surface Dice, BraTS 2025 metastases",
        "mean over reference lesions of at least 27 mm³ and all false positives, which count 0", "0.3333",
        options={"threshold": 27.0},
    ),
    _brats2025(
        "hd95.brats2025_mets", "hd95_metastases", "Lesion-wise HD95, BraTS 2025 metastases",
        "mean over reference lesions of at least 27 mm³ and all false positives, which count 373", "249.0",
        options={"threshold": 27.0}, **_FAR,
    ),
    _brats2025(
        "hd95.brats2025.corrected", "global_hd95", "HD95 of the whole masks, BraTS 2025, corrected",
        "pooled 95th percentile in mm; 373 when one is empty", "17.0587", options=_CORRECT, **_FAR,
    ),
    _brats2025(
        "nsd.brats2025.corrected", "global_nsd", "Surface Dice of the whole masks, BraTS 2025, corrected",
        "mean of the two directed shares within the smallest spacing", "0.8002", options=_CORRECT,
    ),
    _brats2025(
        "nsd.brats2025_mets.corrected", "nsd_metastases",
        "Lesion-wise surface Dice, BraTS 2025 metastases, corrected",
        "mean over reference lesions of at least 27 mm³ and all false positives, which count 0; spacing by "
        "its own axes", "0.3333", options={"threshold": 27.0, **_CORRECT},
    ),
    _brats2025(
        "hd95.brats2025_mets.corrected", "hd95_metastases",
        "Lesion-wise HD95, BraTS 2025 metastases, corrected",
        "mean over reference lesions of at least 27 mm³ and all false positives, which count 373; spacing by "
        "its own axes", "249.0", options={"threshold": 27.0, **_CORRECT}, **_FAR,
    ),
    Convention(
        id="pq", title="Panoptic quality", family="instances",
        definition="instance F1 of pairs with IoU above 0.5, times their mean IoU",
        source="Kirillov et al. 2019, CVPR, equation 1",
        target="medbench.metrics.official.matching:panoptic_quality",
        options={"threshold": 0.5}, example=example_call(_BLOBS, "pq", "0.4167"),
    ),
)  # fmt: skip

LESION_METRICS = (*LESIONS, *TISSUES, *MATCHED)
