"""MyoPS: per volume with medpy's distances, per slice by the lineage's rules, and MyoPS-Net's counts."""

from __future__ import annotations

import numpy as np
import pytest

import medbench
from golden_files import golden
from medbench.metrics import evaluate_arrays

GOLDEN, VOLUMES = golden("myops_metrics")


def volumes(name):
    keys = {key.rpartition("__")[2]: key for key in VOLUMES.files if key.startswith(f"{name}__")}
    return VOLUMES[keys["ref"]], VOLUMES[keys["pred"]]


@pytest.mark.parametrize("name", GOLDEN["cases"])
def test_per_volume(name):
    case = GOLDEN["cases"][name]
    regions = {region: tuple(labels) for region, labels in GOLDEN["regions"].items()}
    ids = {"dice": "dice", "hd_mm": "hd", "hd95_mm": "hd95.pooled", "assd_mm": "assd.pooled"}
    found = evaluate_arrays(*volumes(name), ids.values(), regions, case["spacing"])
    for region, values in case["per_volume"].items():
        for key, id in ids.items():
            ours = found[region][id]
            if values.get(key, "NaN") == "NaN":
                assert ours.status == "undefined"
            else:
                assert ours.value == pytest.approx(values[key], abs=1e-9), (region, id)


@pytest.mark.parametrize("name", GOLDEN["cases"])
def test_lineage_slices(name):
    regions = {"LVB": (500,), "RVB": (600,), "MYO": (200, 1220, 2221)}
    reference, prediction = volumes(name)
    for region, values in GOLDEN["cases"][name]["lineage_slices"].items():
        for k in range(reference.shape[2]):
            slices = reference[:, :, k : k + 1], prediction[:, :, k : k + 1]
            dice = medbench.score("dice.epsilon", *slices, label=regions[region])
            assert dice.value == pytest.approx(values["dice"][k], abs=1e-9)
            hd95 = medbench.score(
                "hd95.pooled", *slices, label=regions[region], spacing="pixel", empty="incomplete_modality"
            )
            assert hd95.value == pytest.approx(values["hd95"][k], abs=1e-9)


@pytest.mark.parametrize("name", GOLDEN["cases"])
def test_myopsnet_counts(name):
    reference, prediction = volumes(name)
    for pathology, labels in (("scar", (2221,)), ("edema", (1220, 2221))):
        values = GOLDEN["cases"][name]["myopsnet"][pathology]
        found = evaluate_arrays(reference, prediction, ["dice"], {"it": labels})["it"]["dice"]
        truth, guess = np.isin(reference, labels), np.isin(prediction, labels)
        assert [(truth & guess).sum(), (~truth & guess).sum(), (truth & ~guess).sum()] == [
            values[key] for key in ("TP", "FP", "FN")
        ]
        if values["dice"] is not None:
            assert found.value == pytest.approx(values["dice"], abs=1e-9)
        else:
            assert not truth.any()
