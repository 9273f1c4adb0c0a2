"""Definitions of tasks other than segmentation: frame classification, boxes, video summaries."""

from __future__ import annotations

from medbench.metrics.convention import Convention, example_call

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
_USERS = """\
>>> import medbench
>>> reference, prediction = [[1, 1, 0, 0, 1], [0, 1, 1, 0, 0]], [1, 1, 0, 0, 0]
"""
_RATINGS = """\
>>> import medbench
>>> reference, prediction = [[1, 5, 3, 2, 4], [2, 4, 5, 1, 3]], [0.1, 0.9, 0.5, 0.2, 0.4]
"""


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
)  # fmt: skip

TASK_METRICS = (
    *CLASSIFICATION,
    *DETECTION,
    *SUMMARIES,
)
