"""Definitions of tasks: instances, frame classification, boxes, biometry, video summaries."""

from __future__ import annotations

from typing import Any

from medbench.metrics.convention import EMPTY_POLICIES, Convention, EmptyPolicy
from medbench.metrics.official.catalogue import example_call

_INF = float("inf")
_LABELS = """\
>>> import medbench
>>> reference, prediction = [0, 0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]]
"""
_BOXES = """\
>>> import numpy as np, medbench
>>> from medbench.metrics.tasks.detection import Boxes
>>> reference = [Boxes(np.array([[0, 0, 10, 10], [20, 20, 30, 30]]), np.array([1, 1]))]
>>> prediction = [Boxes(np.array([[0, 0, 10, 8]]), np.array([1]), np.array([0.9]))]
"""
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
_USERS = """\
>>> import medbench
>>> reference, prediction = [[1, 1, 0, 0, 1], [0, 1, 1, 0, 0]], [1, 1, 0, 0, 0]
"""
_RATINGS = """\
>>> import medbench
>>> reference, prediction = [[1, 5, 3, 2, 4], [2, 4, 5, 1, 3]], [0.1, 0.9, 0.5, 0.2, 0.4]
"""
_VIDEOS = """\
>>> import medbench
>>> reference, prediction = [0.2, 0.3], [0.3, 0.5]
"""
_FOLDS = """\
>>> import medbench
>>> reference, prediction = [1, 1, 2], [0.2, 0.4, 0.5]
"""


_KPIS = "hrlblab/KPIs2024@7d56473 Validation_slide_docker/src/unet_validation_slide.py"
_NO_OBJECT = EmptyPolicy("kpis", both=0.0, source=f"{_KPIS}: F1 of two empty masks is 0")
_DISKS = """\
>>> import numpy as np, medbench
>>> reference, prediction = np.zeros((2, 40, 40), np.uint8)
>>> reference[3:13, 3:13] = 1; reference[20:30, 20:30] = 1
>>> prediction[4:14, 3:13] = 1; prediction[35:38, 5:8] = 1
"""
INSTANCES = tuple(
    Convention(
        id=id, title=title, family="instances", definition=definition, differs=differs, source=source,
        target="medbench.metrics.masks.instances:instance_f1", options={"threshold": 0.5, "rule": rule},
        empty=EMPTY_POLICIES["definition"] if rule == "clean" else _NO_OBJECT,
        example=example_call(_DISKS, id, "0.5"),
    )
    for id, title, rule, definition, differs, source in (
        (
            "f1.instances", "Instance F1 of components", "clean",
            "objects are 8-connected components (26 in 3-D); an object is found when some predicted one has "
            "IoU >= 0.5 with it",
            "components", "KPIs 2024 rule without the contour artefacts (medbench)",
        ),
        (
            "f1.kpis_contour", "Instance F1 of hole contours (KPIs 2024, corrected)", "contour",
            "objects are the filled hole contours of the inverted mask; IoU >= 0.5",
            "contours; objects at the border do not exist, holes are objects", _KPIS,
        ),
        (
            "f1.kpis.official", "Instance F1 of KPIs 2024 as its program computes it", "official",
            "as f1.kpis_contour, but contours are shifted in place whenever two boxes overlap",
            "contours that move; depends on their order", _KPIS,
        ),
    )
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

_SCORES = "IUGC 2024: maskoffs/IUGC2024@bad8150 starting_tool_kit/utils/evaluator.py; scikit-learn"
CLASSIFICATION = tuple(
    Convention(
        id=id, title=title, family="classification", definition=definition, source=_SCORES,
        target=f"medbench.metrics.tasks.classification:{function}", range=(low, 1.0), equals=(equal,),
        example=example_call(_LABELS, id, expected),
    )
    for id, title, function, definition, low, equal, expected in (
        ("accuracy", "Accuracy", "accuracy", "share of right labels; argmax, a tie is class 0", 0.0,
         "sklearn.metrics.accuracy_score", "0.75"),
        ("f1", "F1 of class 1", "f1", "2TP / (2TP + FP + FN), 0 without a positive", 0.0,
         "sklearn.metrics.f1_score", "0.6667"),
        ("auc", "Area under the ROC curve", "auc",
         "chance that a positive scores above a negative, ties one half; undefined with one class", 0.0,
         "sklearn.metrics.roc_auc_score", "0.75"),
        ("mcc", "Matthews correlation coefficient", "mcc",
         "correlation of the two label vectors; 0 when one of them is constant", -1.0,
         "sklearn.metrics.matthews_corrcoef", "0.5774"),
        ("average_precision", "Average precision", "average_precision",
         "precision averaged over the steps of recall, no interpolation", 0.0,
         "sklearn.metrics.average_precision_score", "0.8333"),
    )
)  # fmt: skip

_VOC = "Everingham et al. 2010, IJCV 88:303, section 4.2; VOC development kit"
DETECTION = (
    Convention(
        id="map.coco", title="Mean average precision, COCO", family="detection",
        definition="101-point average precision, mean over classes and IoU 0.50:0.05:0.95",
        differs="ten thresholds, best free reference, 101 recalls", source="pycocotools 2.0, COCOeval",
        target="medbench.metrics.tasks.detection:coco_map",
        equals=("pycocotools.cocoeval.COCOeval.stats[0]",),
        options={"thresholds": tuple(round(0.5 + 0.05 * k, 2) for k in range(10)), "max_detections": 100},
        example=example_call(_BOXES, "map.coco", "0.3535"),
    ),
    Convention(
        id="map.voc", title="Mean average precision, PASCAL VOC from 2010 on", family="detection",
        definition="area under the precision envelope at IoU >= 0.5, mean over classes",
        differs="one threshold, best reference only, area", source=_VOC,
        target="medbench.metrics.tasks.detection:voc_map",
        options={"threshold": 0.5, "interpolation": "area", "inclusive": True},
        example=example_call(_BOXES, "map.voc", "0.5"),
    ),
    Convention(
        id="map.voc2007", title="Mean average precision, PASCAL VOC until 2009", family="detection",
        definition="mean of the largest precision at eleven recalls, IoU >= 0.5, mean over classes",
        differs="one threshold, best reference only, eleven recalls", source=_VOC,
        target="medbench.metrics.tasks.detection:voc_map",
        options={"threshold": 0.5, "interpolation": "eleven_points", "inclusive": True},
        example=example_call(_BOXES, "map.voc2007", "0.5455"),
    ),
)  # fmt: skip

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

_SUMMARY = "medbench.metrics.tasks.summaries"
_OTANI = "Otani et al. 2019, CVPR (mayu-ot/rethinking-evs)"
SUMMARIES = (
    Convention(
        id="fmeasure.max", title="F-measure of a video summary, best annotator", family="summary",
        definition="2|S∩U| / (|S| + |U|), maximum over annotators", differs="best annotator (SumMe)",
        source="Gygli et al. 2014, ECCV; Zhang et al. 2016, ECCV", target=f"{_SUMMARY}:f_measure",
        options={"over": "max"}, example=example_call(_USERS, "fmeasure.max", "0.8"),
    ),
    Convention(
        id="fmeasure.mean", title="F-measure of a video summary, mean over annotators", family="summary",
        definition="2|S∩U| / (|S| + |U|), mean over annotators", differs="mean over annotators (TVSum)",
        source="Song et al. 2015, CVPR; Zhang et al. 2016, ECCV", target=f"{_SUMMARY}:f_measure",
        options={"over": "mean"}, example=example_call(_USERS, "fmeasure.mean", "0.65"),
    ),
    Convention(
        id="kendall", title="Kendall's tau-b of frame importance, mean over annotators", family="summary",
        definition="tau-b between predicted and annotated scores, mean over annotators", source=_OTANI,
        target=f"{_SUMMARY}:rank_correlation", options={"kind": "kendall"}, range=(-1.0, 1.0),
        example=example_call(_RATINGS, "kendall", "0.7"), equals=("scipy.stats.kendalltau",),
    ),
    Convention(
        id="spearman", title="Spearman's rho of frame importance, mean over annotators", family="summary",
        definition="rho between predicted and annotated scores, mean over annotators", source=_OTANI,
        target=f"{_SUMMARY}:rank_correlation", options={"kind": "spearman"}, range=(-1.0, 1.0),
        example=example_call(_RATINGS, "spearman", "0.85"), equals=("scipy.stats.spearmanr",),
    ),
    Convention(
        id="fmeasure.over_random", title="F-measure over that of random scores", family="summary",
        definition="mean over videos of F / mean over videos of the expected F of random scores",
        differs="relative to chance on the same videos and shots",
        source="Apostolidis et al. 2020, ACM MM, Performance over Random", range=(0.0, _INF),
        target=f"{_SUMMARY}:over_random", example=example_call(_VIDEOS, "fmeasure.over_random", "1.6"),
    ),
    Convention(
        id="spread_of_means", title="Spread over folds or seeds", family="summary", better="lower",
        definition="standard deviation (n - 1) of the means of the folds, or of repetitions with other seeds",
        source="medbench", range=(0.0, _INF), target=f"{_SUMMARY}:spread_of_means",
        example=example_call(_FOLDS, "spread_of_means", "0.1414"),
    ),
)  # fmt: skip

TASK_METRICS = (
    *INSTANCES,
    *GREY,
    *CLASSIFICATION,
    *DETECTION,
    *BIOMETRY,
    *SUMMARIES,
)
