"""Learning of landmarks: targets, augmentation, and the read-out between pixels on a learnt network."""

import numpy as np
import pytest
import torch

from medbench.challenges.iugc2025.sample import write_sample
from medbench.inference.predictor import InputContract
from medbench.leaderboards.compare import compare_runs
from medbench.records.reading import read_run
from medbench.running.run import run
from medbench.running.train import train
from medbench.training.landmark_data import moved
from medbench.training.landmark_task import LandmarkTask, gaussians
from medbench.training.recipes import load_recipe


def test_truncated_targets_lie_at_the_pixel_that_holds_the_landmark():
    points = torch.tensor([[[(100 + 0.5) / 512, (15.9 + 0.5) / 512]]])
    peaks = {}
    for name in ("official", "default"):
        task = LandmarkTask(torch.nn.Identity(), load_recipe("landmarks", name), 1, 10)
        maps = task.targets(points, torch.Size((1, 3, 512, 512)), torch.Size((1, 1, 64, 64)))
        peaks[name] = maps[0, 0]
    assert peaks["official"][15 // 8, 100 // 8] == 1
    exact = gaussians(torch.tensor([[[(100 + 0.5) / 8 - 0.5, (15.9 + 0.5) / 8 - 0.5]]]), (64, 64), 2.0)
    torch.testing.assert_close(peaks["default"], exact[0, 0])


def test_a_moved_image_takes_its_landmarks_along():
    image = np.zeros((128, 128, 3), np.uint8)
    image[40:43, 80:83] = 255
    point = np.array([[(81 + 0.5) / 128, (41 + 0.5) / 128]])
    for seed in range(5):
        other, points = moved(image, point, np.random.default_rng(seed))
        rows, columns = np.nonzero(other[..., 0] > 60)
        x, y = points[0] * 128 - 0.5
        assert abs(columns.mean() - x) < 1
        assert abs(rows.mean() - y) < 1


def test_the_recipes_input_is_the_starting_kits():
    recipe = load_recipe("landmarks", "official")
    assert (recipe.batch_size, recipe.epochs, recipe.learning_rate, recipe.weight_decay) == (
        4,
        150,
        1e-4,
        1e-4,
    )
    assert (recipe.schedule, recipe.optimizer, recipe.seed, recipe.sigma) == ("halving", "adam", 42, 2.0)
    assert InputContract(size=512).scale == 255.0


@pytest.mark.slow
def test_on_a_learnt_network_the_read_out_between_pixels_is_better_and_beats_the_constant(
    tmp_path, one_thread
):
    root = tmp_path / "data"
    write_sample(root, {"train": 20, "val": 1, "test": 12}, side=96)
    places = {"data": root, "runs": tmp_path / "runs", "leaderboards": tmp_path / "boards"}
    changes = {"epochs": 32, "learning_rate": 5e-3}
    weights = train(
        "heatmap_unet.test",
        "iugc2025",
        data=root,
        runs=places["runs"],
        recipe="quick",
        recipe_changes=changes,
    )
    finished = {
        readout: run(
            "heatmap_unet.test", "iugc2025", weights=str(weights), options={"readout": readout}, **places
        )
        for readout in ("official", "subpixel")
    }
    train("baseline/constant", "iugc2025", data=root, runs=places["runs"])
    finished["constant"] = run("baseline/constant", "iugc2025", **places)
    means = {name: each.record.metrics["mre_all"].value for name, each in finished.items()}
    assert means["subpixel"] < means["official"]
    assert means["subpixel"] < means["constant"]
    pair = [read_run(finished[name].folder) for name in ("official", "subpixel")]
    (difference,) = compare_runs(pair, ["mre_all"])
    assert difference.interval.high < 0
