"""Definitions of tasks other than segmentation: frame classification, boxes, video summaries."""

from __future__ import annotations

from medbench.core.text import counted
from medbench.metrics.convention import Convention, example_call
from medbench.metrics.tasks.ranked_boxes import COCO_THRESHOLDS, LOW_THRESHOLDS

_INF = float("inf")
_LABELS = """\
>>> import medbench
>>> reference, prediction = [0, 0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]]
"""
_BOXES = """\
>>> import numpy as np, medbench
>>> from medbench.core.sample import Boxes
>>> reference = [Boxes.of_reference([[0, 0, 10, 10], [20, 20, 30, 30]], [1, 1])]
>>> prediction = [Boxes(np.array([[0, 0, 10, 8]]), np.array([0.9]), np.array([1]))]
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


_SCORES = "IUGC 2024: maskoffs/IUGC2024@bad8150 starting_tool_kit/utils/evaluator.py; scikit-learn"
CLASSIFICATION = tuple(
    Convention(
        id=id, title=title, family="classification", definition=definition, source=_SCORES,
        differs="two classes, the second is the positive one",
        target=f"medbench.metrics.tasks.classification:{function}", range=(low, 1.0), equals=(equal,),
        example=example_call(_LABELS, id, output),
    )
    for id, title, function, definition, low, equal, output in (
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

_CLASSES = """\
>>> import medbench
>>> reference = [0, 1, 2, 2]
>>> prediction = [[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.5, 0.2, 0.3], [0.1, 0.1, 0.8]]
"""
_IMAGES = "medbench.metrics.tasks.image_classes"
_MACRO = "unweighted mean over classes"
IMAGE_CLASSES = (
    *(
        Convention(
            id=id, title=title, family="classification", definition=definition, differs=differs,
            source=source, target=f"{_IMAGES}:class_metric", options={"value": value}, equals=(equal,),
            example=example_call(_CLASSES, id, output),
        )
        for id, title, value, definition, differs, source, equal, output in (
            ("accuracy.multiclass", "Accuracy over several classes", "accuracy",
             "share of images whose largest confidence is that of their class, the first of equal ones",
             "any number of classes", "textbook definition", "sklearn.metrics.accuracy_score", "0.75"),
            ("balanced_accuracy", "Balanced multi-class accuracy", "sensitivity",
             "mean of the recalls of the classes that the reference holds", _MACRO,
             "ISIC 2018 task 3, challenge.isic-archive.com/landing/2018/47 (normalized multi-class accuracy)",
             "sklearn.metrics.balanced_accuracy_score", "0.8333"),
            ("precision.macro", "Precision, mean over classes", "precision",
             "TP / (TP + FP), 0 for a class that is never predicted; classes that occur nowhere are left out",
             _MACRO, "scikit-learn, average='macro', zero_division=0", "sklearn.metrics.precision_score",
             "0.8333"),
            ("recall.macro", "Recall, mean over classes", "recall",
             "TP / (TP + FN), 0 for a class that is predicted but not there", _MACRO,
             "scikit-learn, average='macro', zero_division=0", "sklearn.metrics.recall_score", "0.8333"),
            ("f1.macro", "F1, mean over classes", "f1",
             "2TP / (2TP + FP + FN) of each class that occurs", _MACRO,
             "scikit-learn, average='macro', zero_division=0", "sklearn.metrics.f1_score", "0.7778"),
            ("auc.macro", "Area under the ROC curve, mean over classes", "auc",
             "each class against all others, ties one half; classes without images or without others are "
             "left out", _MACRO, "scikit-learn, multi_class='ovr', average='macro'",
             "sklearn.metrics.roc_auc_score", "0.9583"),
            ("average_precision.macro", "Average precision, mean over classes", "average_precision",
             "each class against all others; classes without images are left out", _MACRO,
             "scikit-learn, average='macro'", "sklearn.metrics.average_precision_score", "0.9444"),
        )
    ),
    *(
        Convention(
            id=f"{value}.one_vs_rest", title=f"{title} of one class", family="classification",
            definition=definition, differs="one class against all others", source="textbook definition",
            target=f"{_IMAGES}:class_metric", options={"value": value, "of": 0}, equals=(equal,),
            example=example_call(_CLASSES, f"{value}.one_vs_rest", output),
        )
        for value, title, definition, equal, output in (
            ("sensitivity", "Sensitivity", "TP / (TP + FN); the class of an image is that of its largest "
             "confidence", "sklearn.metrics.recall_score", "1.0"),
            ("specificity", "Specificity", "TN / (TN + FP); the class of an image is that of its largest "
             "confidence", "sklearn.metrics.recall_score of the other classes", "0.6667"),
            ("auc", "Area under the ROC curve", "chance that an image of the class scores above another, "
             "ties one half", "sklearn.metrics.roc_auc_score", "1.0"),
            ("f1", "F1", "2TP / (2TP + FP + FN), 0 without a positive; the class of an image is that of its "
             "largest confidence", "sklearn.metrics.f1_score", "0.6667"),
            ("average_precision", "Average precision", "precision averaged over the steps of recall, no "
             "interpolation", "sklearn.metrics.average_precision_score", "1.0"),
        )
    ),
    Convention(
        id="margin", title="Margin of the true class", family="classification",
        definition="confidence in the true class less the largest confidence in another, mean over images",
        source="medbench", target=f"{_IMAGES}:margin", range=(-1.0, 1.0),
        example=example_call(_CLASSES, "margin", "0.325"),
    ),
)  # fmt: skip

_POINTS = """\
>>> import medbench
>>> reference, prediction = [[0, 0], [-5, 0], [0, 7]], [[0, 0], [-5, 0], [7, 7]]
"""
_LANDMARKS = "medbench.metrics.tasks.landmarks"
_IUGC2025 = "IUGC 2025: benchmark paper, openreview hj7hmvKc2r"
LANDMARKS = (
    Convention(
        id="radial_error", title="Mean radial error of landmarks", family="biometry", unit="px",
        better="lower", definition="Euclidean distance, mean over the landmarks of an image",
        differs="mean over all landmarks", source=_IUGC2025, target=f"{_LANDMARKS}:radial_error",
        range=(0.0, _INF), example=example_call(_POINTS, "radial_error", "2.3333"),
    ),
    Convention(
        id="radial_error.point", title="Radial error of one landmark", family="biometry", unit="px",
        better="lower", definition="Euclidean distance", differs="one landmark", source=_IUGC2025,
        target=f"{_LANDMARKS}:radial_error", options={"of": 2}, range=(0.0, _INF),
        example=example_call(_POINTS, "radial_error.point", "7.0"),
    ),
    Convention(
        id="aop.points", title="Error of the angle of progression, from points", family="biometry",
        unit="deg", better="lower",
        definition="absolute difference of the angles at PS1 between PS2 and FH1; 180 where two predicted "
        "points are equal", differs="from three points, not from masks", source=_IUGC2025,
        target=f"{_LANDMARKS}:angle_error", range=(0.0, 180.0),
        example=example_call(_POINTS, "aop.points", "45.0"),
    ),
)  # fmt: skip

_VOC = "Everingham et al. 2010, IJCV 88:303, section 4.2; VOC development kit"
_COCO = "pycocotools 2.0, COCOeval"
DETECTION = (
    *(
        Convention(
            id=id, title=title, family="detection", definition=definition, differs=differs, source=_COCO,
            target="medbench.metrics.tasks.detection:coco_map", equals=equals,
            options={"thresholds": thresholds, "max_detections": 100,
                     "skip_empty": id.endswith(".skip_empty")},
            example=example_call(_BOXES, id, output),
        )
        for id, title, definition, differs, thresholds, equals, output in (
            ("map.coco", "Mean average precision, COCO",
             "101-point average precision, mean over classes and IoU 0.50:0.05:0.95",
             "ten thresholds, best free reference, 101 recalls; images without reference or prediction count",
             COCO_THRESHOLDS, ("pycocotools.cocoeval.COCOeval.stats[0]",), "0.3535"),
            ("map.coco_50", "Average precision at IoU 0.50, COCO",
             "101-point average precision at IoU 0.50, mean over classes", "one threshold",
             COCO_THRESHOLDS[:1], ("pycocotools.cocoeval.COCOeval.stats[1]",), "0.505"),
            ("map.coco_40_75", "Mean average precision at IoU 0.40 to 0.75",
             "101-point average precision, mean over classes and IoU 0.40:0.05:0.75",
             "eight lower thresholds", LOW_THRESHOLDS,
             ("pycocotools.cocoeval.COCOeval with params.iouThrs from 0.40 to 0.75",), "0.505"),
            ("map.coco.skip_empty", "Mean average precision, COCO, images with both alone",
             "map.coco over the images that have a reference box and a predicted box",
             "images without reference or prediction are left out: false alarms and misses there are free",
             COCO_THRESHOLDS, (), "0.3535"),
        )
    ),
    *(
        Convention(
            id=f"ar.coco_{most}", title=f"Average recall with {counted(most, 'detection')} an image, COCO",
            family="detection", source=_COCO, target="medbench.metrics.tasks.detection:coco_recall",
            definition="share of reference boxes that the best-scored detections of a class in each image "
            f"take, at most {most} of them, mean over classes and IoU 0.50:0.05:0.95",
            differs=f"{counted(most, 'detection')} of each class and image",
            options={"thresholds": COCO_THRESHOLDS, "max_detections": most},
            equals=(f"pycocotools.cocoeval.COCOeval.stats[{place}]",),
            example=example_call(_BOXES, f"ar.coco_{most}", "0.35"),
        )
        for most, place in ((1, 6), (10, 7), (100, 8))
    ),
    Convention(
        id="map.image", title="Average precision of an image", family="detection",
        definition="map.coco of each image alone, 1 less the largest score where it has no reference box; "
        "mean over images", differs="image by image", source="medbench",
        target="medbench.metrics.tasks.detection:mean_image_precision",
        example=example_call(_BOXES, "map.image", "0.3535"),
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
    *CLASSIFICATION,
    *IMAGE_CLASSES,
    *DETECTION,
    *LANDMARKS,
    *SUMMARIES,
)
