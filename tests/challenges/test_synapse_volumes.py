"""Three-dimensional networks on Synapse: volumes from slices, whole test volumes, one label volume each."""

import numpy as np
import pytest

from medbench.challenges import load_challenge

SYNAPSE = load_challenge("synapse")


def test_training_volumes_are_put_together_from_their_slices(small_synapse, tmp_path):
    volumes = SYNAPSE.exchange.inputs["volume"].examples(small_synapse, "train", tmp_path)
    assert [volume.id for volume in volumes] == ["case0005", "case0006"]
    sample, labels = volumes[0].load()
    assert sample.volumes.shape == (1, 8, 64, 64)
    assert sample.present == (True,)
    slices = [case for case in SYNAPSE.cases(small_synapse, "train") if case.group == "case0005"]
    for number, case in enumerate(slices):
        np.testing.assert_array_equal(sample.volumes[0, number], SYNAPSE.release.read_volume(case).array[0])
        np.testing.assert_array_equal(labels[number], SYNAPSE.release.read_reference(case).array[0])
    assert len(volumes[0].files) == len(slices)


def test_a_volume_network_trains_and_runs(small_synapse, tmp_path, one_thread):
    pytest.importorskip("lightning")
    from medbench.running.request import Inference
    from medbench.running.run import run
    from medbench.running.train import train
    from medbench.training.fit import Hardware

    options = {"channels": [4, 8], "num_res_units": 0}
    weights = train(
        "monai/unet", "synapse", data=small_synapse, runs=tmp_path, options=options,
        hardware=Hardware("cpu", 1), recipe="quick", recipe_changes={"epochs": 1, "patches": 1},
    )  # fmt: skip
    finished = run(
        "monai/unet", "synapse", data=small_synapse, weights=weights, options=options, runs=tmp_path,
        leaderboards=tmp_path / "boards", inference=Inference(overlap=0.0),
    )  # fmt: skip
    assert finished.exit_code == 0
    assert finished.record.counts.ok == 3
    predictions = list((finished.folder / "predictions").glob("*_pred.nii.gz"))
    assert len(predictions) == 3


def test_nnunet_sees_slices_still():
    pytest.importorskip("nnunetv2")
    from medbench.running.networks import plan_network

    assert plan_network("nnunet", SYNAPSE, {}).form == "image"
    assert plan_network("monai/unet", SYNAPSE, {}).in_channels == 1
