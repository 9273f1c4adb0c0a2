"""Figures of detected boxes by pycocotools."""

import contextlib
import io

import numpy as np
import pytest

LOW = np.linspace(0.4, 0.75, 8)


def coco_figures(reference, prediction, names=None):
    """mAP, AP50, mAP 0.40:0.75 and AR@1, 10, 100 of Boxes in several images; -1 where undefined.

    Args:
        reference: Boxes of each image.
        prediction: likewise.
        names: ids of the images; pycocotools sorts them.
    """
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    from pycocotools.cocoeval import COCOeval

    names = list(range(1, len(reference) + 1)) if names is None else list(names)
    annotations, detections, categories = [], [], set()
    for name, truth, guess in zip(names, reference, prediction, strict=True):
        for box, label in zip(sides(truth), truth.classes.tolist(), strict=True):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": name, "category_id": label, "bbox": box,
                 "area": box[2] * box[3], "iscrowd": 0}
            )  # fmt: skip
        for box, label, score in zip(
            sides(guess), guess.classes.tolist(), guess.scores.tolist(), strict=True
        ):
            detections.append({"image_id": name, "category_id": label, "bbox": box, "score": score})
        categories |= {*truth.classes.tolist(), *guess.classes.tolist()}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": name} for name in names],
            "annotations": annotations,
            "categories": [{"id": label} for label in sorted(categories)],
        }
        truth.createIndex()
        found = truth.loadRes(detections) if detections else coco.COCO()
        if not detections:
            found.dataset = {**truth.dataset, "annotations": []}
            found.createIndex()
        stats = evaluated(COCOeval(truth, found, "bbox"))
        low = COCOeval(truth, found, "bbox")
        low.params.iouThrs = LOW
        return {
            "map": stats[0],
            "ap_50": stats[1],
            "map_40_75": evaluated(low)[0],
            "ar_1": stats[6],
            "ar_10": stats[7],
            "ar_100": stats[8],
        }


def evaluated(evaluation):
    """COCOeval.stats."""
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


def sides(boxes):
    """Left, top, width, height of each box."""
    return [[x, y, x2 - x, y2 - y] for x, y, x2, y2 in np.asarray(boxes.corners, float).tolist()]
