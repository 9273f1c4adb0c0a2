"""Definitions of organisers' programs: lesions of BraTS, grey masks of KPIs, biometry of ultrasound."""

from __future__ import annotations

from typing import Any

from medbench.core.text import counted
from medbench.metrics.convention import Convention, example_call
from medbench.metrics.official.lesions import LESION_RULES, LesionRule

_INF = float("inf")
_BLOBS = """\
>>> import numpy as np, medbench
>>> reference, prediction = np.zeros((2, 24, 24, 24), np.uint8)
>>> reference[3:9, 3:9, 3:9] = 1; reference[15:20, 15:20, 15:20] = 1
>>> prediction[4:9, 3:9, 3:9] = 1; prediction[20, 4, 4] = 1
"""


_M23 = "rachitsaluja/BraTS-2023-Metrics@43c9052"
_M24 = "rachitsaluja/BraTS-2024-Metrics@f1131e3"


def _lesion_metrics(name: str, rule: LesionRule) -> tuple[Convention, ...]:
    challenge = name.upper().replace("BRATS", "BraTS ").replace("_", " ")
    size = "mm³" if not rule.merge_prediction else "mm³ (predictions: voxels)"
    text = (
        f"{counted(rule.iterations, 'dilation')}; reference lesions of at most {rule.threshold:g} {size} are "
        f"left out; missed lesions and false positives count Dice 0, HD95 {rule.penalty}"
    )
    source = _M24 if rule.merge_prediction else _M23
    setup = f"{_BLOBS}>>> options = dict(spacing=(1.0, 1.0, 1.0))\n"
    common: dict[str, Any] = {"family": "lesions", "source": source, "needs_spacing": True, "differs": text}
    conventions = [
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
        conventions += [
            Convention(
                id=f"nsd.lesionwise.{name}{suffix}", title=f"Lesion-wise surface Dice{title}, {challenge}",
                definition=f"sum of the lesions' surface Dice within {tolerance:g} mm over lesions plus "
                f"false positives; {text}",
                target="medbench.metrics.official.lesions:nsd_lesionwise",
                options={"rule": name, "tolerance": tolerance},
                example=f"{setup}>>> 0 < medbench.score('nsd.lesionwise.{name}{suffix}', reference, "
                "prediction, **options).value < 1\nTrue", **common,
            )
            for tolerance, suffix, title in ((1.0, "", ""), (0.5, ".half_mm", " at 0.5 mm"))
        ]  # fmt: skip
    return tuple(conventions)


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
        f"lesions of {tissue} that touch one lesion of another tissue are one; "
        f"{counted(rule.iterations, 'dilation')}; at most {rule.threshold:g} mm³ left out; "
        f"missed lesions and false positives count 0, HD95 {rule.penalty}"
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


def _brats2025(id: str, function: str, title: str, rule: str, output: str, **facts: Any) -> Convention:
    options = {"faithful": True, **facts.pop("options", {})}
    state = "kept" if options["faithful"] else "mended"
    return Convention(
        id=id, title=title, family="lesions", definition=f"{rule}; {_ONE_TO_ONE}", source=_EV,
        target=f"medbench.metrics.official.matching:{function}", needs_spacing=True, options=options,
        differs=f"one-to-one matching, no dilation; the program's errors of spacing {state}",
        example=example_call(_BLOBS, id, output, _UNIT), **facts,
    )  # fmt: skip


_FAR: dict[str, Any] = {"unit": "mm", "better": "lower", "range": (0.0, _INF)}
_CORRECT: dict[str, Any] = {"faithful": False}
MATCHED = (
    _brats2025(
        "f1.brats2025", "instance_f1", "Instance F1, BraTS 2025",
        "TP / (TP + FP/2 + FN/2)", "0.5", symmetric=True,
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
        options={"threshold": 0.5}, symmetric=True, example=example_call(_BLOBS, "pq", "0.4167"),
    ),
)  # fmt: skip

_GREY = """\
>>> import numpy as np, medbench
>>> reference = np.zeros((20, 20), np.uint8); reference[4:12, 4:12] = 250; reference[5:11, 5:11] = 255
>>> prediction = reference > 127
"""
GREY = tuple(
    Convention(
        id=id, title=title, family="grey", definition=definition, differs=differs,
        source="hrlblab/KPIs2024@7d56473, validation dockers of both tasks; MONAI 1.3.0",
        target=f"medbench.metrics.official.kpis:{function}", example=example_call(_GREY, id, "0.72"),
    )
    for id, title, function, definition, differs in (
        ("dice.kpis_patch.official", "Dice of a patch as the program of KPIs 2024 computes it",
         "dice_of_largest_value",
         "2|A∩B| / (|A| + |B|), A the pixels at the maximum of the grey reference; an empty one is left out",
         "grey JPEG mask is not binarised"),
        ("dice.kpis_slide.official", "Dice of a slide as the program of KPIs 2024 computes it",
         "slide_dice_official",
         "2|A∩B| / (|A| + |B|), A the pixels at 255 of the grey reference, which is halved if the prediction "
         "is half its size; two empty masks give 1",
         "blended rim of the reference is lost"),
    )
)  # fmt: skip

_FRAME = """\
>>> import numpy as np, medbench
>>> rows, columns = np.mgrid[:120, :160]
>>> reference = np.where((rows - 25) ** 2 / 64 + (columns - 50) ** 2 / 900 < 1, 1, 0)
>>> reference[(rows - 80) ** 2 / 900 + (columns - 90) ** 2 / 1600 < 1] = 2
>>> prediction = reference.copy(); prediction[42:60, 70:140] = 2
"""
_HEADS = """\
>>> import numpy as np, medbench
>>> rows, columns = np.mgrid[:100, :100]
>>> reference = (rows - 50) ** 2 + (columns - 50) ** 2 <= 40 ** 2
>>> prediction = (rows - 50) ** 2 + (columns - 50) ** 2 <= 37 ** 2
"""
_PICK = "medbench.metrics.official.frame_labels"
_LOW: dict[str, Any] = {"family": "biometry", "better": "lower", "range": (0.0, _INF)}
BIOMETRY = (
    Convention(
        id="aop.contour", title="Error of the angle of progression, contour rule", unit="deg",
        definition="absolute difference; ends and tangent point on the contours of the mask",
        differs="contour points", source="IUGC 2024, class Biometry of evaluator.py@bad8150",
        target=f"{_PICK}:biometry", options={"value": "aop_contour"},
        example=example_call(_FRAME, "aop.contour", "25.171"), **_LOW,
    ),
    Convention(
        id="aop.ellipse", title="Error of the angle of progression, ellipse rule", unit="deg",
        definition="absolute difference; both structures replaced by fitted ellipses, a missing angle is 0",
        differs="fitted ellipses", source="PSFHS 2023, maskoffs/PS-FH-MICCAI23@de5d789 ellipse.py",
        target=f"{_PICK}:biometry", options={"value": "aop_ellipse"},
        example=example_call(_FRAME, "aop.ellipse", "30.2249"), **_LOW,
    ),
    Convention(
        id="psfhs.score", title="Score S of PSFHS 2023", family="biometry", better="higher",
        definition="0.25 Dice + 0.125 (1 - HD/100) + 0.125 (1 - ASD/100) + 0.5 (1 - error of AoP/180), each "
        "the mean of symphysis, head and their union; over many frames the means come first",
        range=(-_INF, 1.0), source="PSFHS 2023, maskoffs/PS-FH-MICCAI23@de5d789 evaluation.py",
        target=f"{_PICK}:psfhs", example=example_call(_FRAME, "psfhs.score", "0.8748"),
    ),
    Convention(
        id="hsd", title="Error of the head-symphysis distance", unit="px",
        definition="absolute difference of the distance from the symphysis' inferior end to the head",
        source="IUGC 2024, class Biometry of evaluator.py@bad8150", target=f"{_PICK}:biometry",
        options={"value": "hsd"}, example=example_call(_FRAME, "hsd", "9.0208"), **_LOW,
    ),
    Convention(
        id="hc.adf", title="Absolute difference of the head circumference", unit="mm",
        definition="|HC of the prediction - HC of the reference|, HC = perimeter (Ramanujan II) of the "
        "ellipse fitted to the outer contour",
        source="HC18, van den Heuvel et al. 2018, PLOS ONE 13:e0200412",
        target=f"{_PICK}:head_circumference", options={"value": "adf_mm"}, needs_spacing=True,
        example=example_call(_HEADS, "hc.adf", "1.9006", ", spacing=(0.1, 0.1)"), **_LOW,
    ),
    Convention(
        id="hc.df", title="Difference of the head circumference", family="biometry", unit="mm",
        better="lower",
        definition="HC of the prediction minus HC of the reference; 0 is best", range=(-_INF, _INF),
        source="HC18, van den Heuvel et al. 2018, PLOS ONE 13:e0200412", needs_spacing=True,
        target=f"{_PICK}:head_circumference", options={"value": "df_mm"},
        example=example_call(_HEADS, "hc.df", "-1.9006", ", spacing=(0.1, 0.1)"),
    ),
)  # fmt: skip

OFFICIAL_METRICS = (*LESIONS, *TISSUES, *MATCHED, *GREY, *BIOMETRY)
