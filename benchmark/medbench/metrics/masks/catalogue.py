"""Definitions that compare two binary masks: overlap, surfaces and objects."""

from __future__ import annotations

from typing import Any

from medbench.metrics.convention import EMPTY_POLICIES, Convention, EmptyPolicy, example_call

_MASKS = "medbench.metrics.masks.definitions"
_INF = float("inf")
_PAIR = """\
>>> import numpy as np, medbench
>>> reference, prediction = np.zeros((2, 12, 12), np.uint8)
>>> reference[2:7, 2:7] = 1
>>> prediction[3:8, 2:7] = 1; prediction[3, 11] = 1
"""


def _overlap(id: str, function: str, output: str, **facts: Any) -> Convention:
    call = f">>> round(medbench.score({id!r}, reference, prediction).value, 4)\n{output}"
    return Convention(
        id=id, family="overlap", target=f"{_MASKS}:{function}", example=f"{_PAIR}{call}", **facts
    )


def _surface(id: str, function: str, output: str, **facts: Any) -> Convention:
    options = facts.get("options", {})
    extra = "".join(f", {name}=1.0" for name in options)
    call = (
        f">>> round(medbench.score({id!r}, reference, prediction, spacing=(1.0, 0.5){extra}).value, 4)"
        f"\n{output}"
    )
    defaults = {"unit": "mm", "better": "lower", "range": (0.0, _INF), "needs_spacing": True}
    return Convention(
        id=id,
        family="surface",
        target=f"{_MASKS}:{function}",
        example=f"{_PAIR}{call}",
        **{**defaults, "symmetric": True, **facts},
    )


_MEDPY = "MedPy 0.5.2, metric/binary.py"
_MONAI = "MONAI 1.6.1, monai.metrics"
_DEEPMIND = "google-deepmind/surface-distance, lookup tables and metrics.py (PyPI 0.1)"
_RELOADED = "MetricsReloaded@cb38dfc, pairwise_measures.py"
_COUNTS = "Taha and Hanbury 2015, BMC Medical Imaging 15:29, section 3.1"
_TRANSUNET = "Beckschen/TransUNet@ee8acce utils.py, calculate_metric_percase"
_BRAU = "Caipengzhou/BRAU-Netplusplus@b25641a isic_cvc_train_test/test.py with pytorch_lightning 1.1.0"
_SHARE = {"unit": "1", "better": "higher", "range": (0.0, 1.0), "options": {"tolerance": None}}

OVERLAP: tuple[Convention, ...] = (
    _overlap(
        "dice", "dice", "0.7843", symmetric=True,
        title="Dice coefficient", definition="2TP / (2TP + FP + FN)", source="Dice 1945, Ecology 26:297",
        differs="plain counts", equals=("medpy.metric.binary.dc", "monai.metrics.compute_dice"),
    ),
    _overlap(
        "dice.plus_one", "dice_plus_one", "0.7885", symmetric=True,
        title="Dice coefficient, one added above and below",
        definition="(2TP + 1) / (2TP + FP + FN + 1)", differs="+1 smoothing",
        source="IUGC 2024 and PSFHS 2023: maskoffs/IUGC2024@bad8150 starting_tool_kit/utils/evaluator.py",
        empty=EMPTY_POLICIES["definition"],
    ),
    _overlap(
        "dice.epsilon", "dice_epsilon", "0.7843", symmetric=True,
        title="Dice coefficient, 1e-8 added above and below",
        definition="(2TP + e) / (2TP + FP + FN + e), e = 1e-8", differs="epsilon; two empty masks give 1",
        source="Jun-Jie-Shi/PASSION@fd308b5 code/utils/predict.py", options={"epsilon": 1e-8},
    ),
    _overlap(
        "dice.transunet", "dice", "0.7843", symmetric=True,
        title="Dice coefficient, empty masks as TransUNet scores them",
        definition="2TP / (2TP + FP + FN); 1 for a prediction on an empty reference, 0 for two empty masks",
        differs="rewards a false positive on an absent organ, punishes a right empty answer",
        source=_TRANSUNET, empty=EMPTY_POLICIES["transunet_dice"],
    ),
    _overlap(
        "iou", "iou", "0.6452", symmetric=True,
        title="Intersection over union (Jaccard index)", definition="TP / (TP + FP + FN)",
        differs="plain counts", source="Jaccard 1912, New Phytologist 11:37",
        equals=("medpy.metric.binary.jc",),
    ),
    _overlap(
        "iou.plus_one", "iou_plus_one", "0.6562", symmetric=True,
        title="Intersection over union, one added above and below",
        definition="(TP + 1) / (TP + FP + FN + 1)", differs="+1 smoothing; two empty masks give 1",
        source=_BRAU,
    ),
    _overlap(
        "iou.thresholded", "iou_thresholded", "0.0", symmetric=True,
        title="Thresholded Jaccard index",
        definition="TP / (TP + FP + FN), and 0 where that is below 0.65; two empty masks give 1",
        differs="0 below 0.65", options={"threshold": 0.65}, empty=EMPTY_POLICIES["agree"],
        source="ISIC 2018 task 1: ImageMarkup/isic-challenge-scoring@23808e9 isic_challenge_scoring/task1.py",
    ),
    _overlap(
        "sensitivity", "sensitivity", "0.8",
        title="Sensitivity (recall, true positive rate)", definition="TP / (TP + FN)", source=_COUNTS,
        differs="plain counts", equals=("medpy.metric.binary.sensitivity",),
    ),
    _overlap(
        "sensitivity.epsilon", "sensitivity_epsilon", "0.8",
        title="Sensitivity, 1e-6 added below", definition="TP / (TP + FN + e), e = 1e-6",
        differs="0 for an empty reference", source=_BRAU, options={"epsilon": 1e-6},
    ),
    _overlap(
        "specificity", "specificity", "0.9496",
        title="Specificity (true negative rate)", definition="TN / (TN + FP)", source=_COUNTS,
        differs="plain counts",
        equals=("medpy.metric.binary.specificity",),
    ),
    _overlap(
        "precision", "precision", "0.7692",
        title="Precision (positive predictive value)", definition="TP / (TP + FP)", source=_COUNTS,
        differs="plain counts", equals=("medpy.metric.binary.precision",),
    ),
    _overlap(
        "precision.epsilon", "precision_epsilon", "0.7692",
        title="Precision, 1e-6 added below", definition="TP / (TP + FP + e), e = 1e-6",
        differs="0 for an empty prediction", source=_BRAU, options={"epsilon": 1e-6},
    ),
    _overlap(
        "pixel_accuracy", "accuracy", "0.9236", symmetric=True,
        title="Accuracy of pixels or voxels", definition="(TP + TN) / (TP + FP + FN + TN)", source=_COUNTS,
    ),
    _overlap(
        "relative_volume_difference", "relative_volume_difference", "0.04",
        title="Relative volume difference", definition="|P| / |R| - 1; 0 is best, negative is too small",
        source=_COUNTS, better="lower", range=(-1.0, _INF), equals=("medpy.metric.binary.ravd",),
    ),
    _overlap(
        "volumetric_similarity", "volumetric_similarity", "0.9804", symmetric=True,
        title="Volumetric similarity", definition="1 - | |P| - |R| | / (|P| + |R|)", source=_COUNTS,
    ),
    Convention(
        id="volume_difference", title="Volume difference", family="overlap",
        definition="volume of the prediction minus volume of the reference; 0 is best",
        source=_COUNTS, target=f"{_MASKS}:volume_difference",
        unit="mm^d", better="lower", range=(-_INF, _INF), needs_spacing=True,
        example=f"{_PAIR}>>> medbench.score('volume_difference', reference, prediction, "
        "spacing=(1.0, 0.5)).value\n0.5",
    ),
)  # fmt: skip

_EROSION = "surface: voxels with a background neighbour (4 or 6), the image edge is background"
SURFACE: tuple[Convention, ...] = (
    _surface(
        "hd", "hausdorff", "2.5",
        title="Hausdorff distance of surfaces",
        definition=f"largest distance of a surface voxel to the other surface; {_EROSION}",
        differs="maximum, surface voxels", source=_MEDPY,
        equals=("medpy.metric.binary.hd", "monai.metrics.compute_hausdorff_distance"),
    ),
    _surface(
        "hd.set", "hausdorff_of_sets", "2.5",
        title="Hausdorff distance of voxel sets",
        definition="largest distance of any voxel of one mask to the other mask, interiors included",
        differs="maximum, all voxels", equals=("SimpleITK.HausdorffDistanceImageFilter",),
        source="ITK HausdorffDistanceImageFilter; IUGC 2024 and PSFHS 2023 (in pixels)",
    ),
    _surface(
        "hd.area", "hausdorff_of_elements", "2.5",
        title="Hausdorff distance of surface elements",
        definition="largest distance between surface elements on the corners of the voxel lattice",
        differs="maximum, lattice corners", source=_DEEPMIND,
        equals=("surface_distance.compute_robust_hausdorff(…, 100)",),
    ),
    _surface(
        "hd95.pooled", "hd95_pooled", "1.0",
        title="95th percentile of the pooled surface distances",
        definition=f"95th percentile (linear) of both directed distance lists joined; {_EROSION}",
        differs="both directions joined, linear percentile", source=_MEDPY,
        equals=("medpy.metric.binary.hd95",),
    ),
    _surface(
        "hd95.transunet", "hd95_pooled", "1.0",
        title="95th percentile of the pooled surface distances, empty masks as TransUNet scores them",
        definition=f"95th percentile (linear) of both directed distance lists joined, 0 as soon as one mask "
        f"is empty; {_EROSION}",
        differs="an organ that is missed altogether counts as distance 0; the program works in voxels",
        source=_TRANSUNET, empty=EMPTY_POLICIES["transunet_hd95"],
    ),
    _surface(
        "hd95.max", "hd95_max", "1.3",
        title="Larger of the two directed 95th percentiles",
        definition=f"maximum over the directions of the 95th percentile (linear); {_EROSION}",
        differs="larger of two directions, linear percentile", source=f"{_MONAI}; {_RELOADED}",
        equals=("monai.metrics.compute_hausdorff_distance(percentile=95)",),
    ),
    _surface(
        "hd95.nearest_rank", "hd95_nearest_rank", "1.0",
        title="Larger of the two directed values at the 95 % rank",
        definition=f"maximum over the directions of the value at index floor(0.95 (n - 1)); {_EROSION}",
        differs="larger of two directions, no interpolation",
        source="evalutils 0.3.0, stats.percentile_hausdorff_distance",
    ),
    _surface(
        "hd95.area", "hd95_area", "2.5",
        title="Larger of the two area-weighted 95 % distances",
        definition="per direction, first distance at which 95 % of the area is covered; the larger one",
        differs="area-weighted, lattice corners, no interpolation",
        source=f"{_DEEPMIND}; BraTS 2023: rachitsaluja/BraTS-2023-Metrics@43c9052",
        equals=("surface_distance.compute_robust_hausdorff(…, 95)",),
    ),
    _surface(
        "ahd.set", "average_hausdorff_of_sets", "0.2442",
        title="Average Hausdorff distance of voxel sets",
        definition="mean of the two mean distances of all voxels of a mask to the other mask (inside = 0)",
        differs="mean over all voxels, not the surface", source="ITK HausdorffDistanceImageFilter",
        equals=("SimpleITK.HausdorffDistanceImageFilter.GetAverageHausdorffDistance",),
    ),
    _surface(
        "assd.pooled", "assd_pooled", "0.5",
        title="Average symmetric surface distance, pooled",
        definition=f"mean of both directed distance lists joined; {_EROSION}",
        differs="both directions joined", source=_MEDPY, equals=("medpy.metric.binary.assd",),
    ),
    _surface(
        "assd.mean_of_directed", "assd_mean_of_directed", "0.4982",
        title="Average symmetric surface distance, mean of the two directions",
        definition=f"mean of the two directed means; {_EROSION}",
        differs="mean of two directions", source="MedPy up to 0.4.0; panoptica 2.1.7",
    ),
    _surface(
        "assd.area", "assd_area", "0.4551",
        title="Average symmetric surface distance, area-weighted",
        definition="mean of the two directed area-weighted means over surface elements",
        differs="area-weighted, lattice corners", source=_DEEPMIND,
        equals=("surface_distance.compute_average_surface_distance",),
    ),
    _surface(
        "asd.prediction_to_reference", "asd_prediction_to_reference", "0.5588",
        title="Average distance of the prediction's surface to the reference's",
        definition=f"mean over the prediction's surface voxels; {_EROSION}",
        differs="one direction", source=f"{_MEDPY} asd(result, reference); {_MONAI} (default)",
        equals=("medpy.metric.binary.asd", "monai.metrics.compute_average_surface_distance"),
        symmetric=False,
    ),
    _surface(
        "asd.reference_to_prediction", "asd_reference_to_prediction", "0.4375",
        title="Average distance of the reference's surface to the prediction's",
        definition=f"mean over the reference's surface voxels; {_EROSION}",
        differs="the other direction", source=f"{_MEDPY} asd with arguments exchanged",
        symmetric=False,
    ),
    Convention(
        id="asd.edge8", title="Average distance between eight-neighbour edges, in pixels", family="surface",
        definition="mean over both edges of the distance to the other edge; an edge pixel has a background "
        "pixel among its eight neighbours, outside the frame is not background; 2-D, always pixels",
        differs="8-neighbour edge, frame is no edge, pixels", unit="px", better="lower", range=(0.0, _INF),
        symmetric=True,
        source="IUGC 2024 and PSFHS 2023 (zero level of ITK's signed Maurer map)",
        target=f"{_MASKS}:asd_edge8",
        example=f"{_PAIR}>>> round(medbench.score('asd.edge8', reference, prediction).value, 4)\n0.6364",
    ),
    _surface(
        "nsd.count", "nsd_count", "0.9697",
        title="Normalized surface distance (surface Dice), counted voxels",
        definition=f"share of both surfaces' voxels within the tolerance of the other surface; {_EROSION}",
        differs="counts voxels of both sides together", source=f"{_MONAI} compute_surface_dice; {_RELOADED}",
        equals=("monai.metrics.compute_surface_dice",), **_SHARE,
    ),
    _surface(
        "nsd.mean_of_directed", "nsd_mean_of_directed", "0.9706",
        title="Normalized surface distance, mean of the two shares",
        definition=f"each side's share within the tolerance, then their mean; {_EROSION}",
        differs="each side divided by its own size first", source="panoptica 2.1.7", **_SHARE,
    ),
    _surface(
        "nsd.area", "nsd_area", "0.9272",
        title="Normalized surface distance (surface Dice), area-weighted",
        definition="area of both surfaces within the tolerance of the other over the area of both",
        differs="area-weighted, lattice corners",
        source=f"{_DEEPMIND}; Nikolov et al. 2018, arXiv 1809.04430",
        equals=("surface_distance.compute_surface_dice_at_tolerance",), **_SHARE,
    ),
)  # fmt: skip

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
        needs_frame=rule == "official",
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

MASK_METRICS = (*OVERLAP, *SURFACE, *INSTANCES)
