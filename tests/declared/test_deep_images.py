"""Images of more than 8 bits: predicted by what is black and white, or refused by name; never as if 8 bit."""

import cv2
import numpy as np
import pytest

import medbench
from medbench.core.errors import MedbenchError
from medbench.inference.weights import save_checkpoint
from medbench.io import raster
from medbench.running.declaring import Wishes, declare
from medbench.running.predict_images import predict_images
from medbench.running.request import Inference
from medbench.running.run import run

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.layer, self.head = nn.Conv2d(in_channels, 4, 3, padding=1), nn.Conv2d(4, num_classes, 1)
    def forward(self, x):
        return self.head(self.layer(x).relu())
"""
SMALL = Inference(image_size=32)


@pytest.fixture
def deep(tmp_path, monkeypatch):
    """A declared data set of ten images of 12 bits in 16, and weights that learnt it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("medbench.models.local.names._paths", {})
    monkeypatch.setenv("MEDBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MEDBENCH_LEADERBOARDS", str(tmp_path / "boards"))
    generator = np.random.default_rng(0)
    (tmp_path / "png/images").mkdir(parents=True)
    for index in range(10):
        image = generator.integers(0, 4096, (24, 40), np.uint16)
        cv2.imwrite(str(tmp_path / f"png/images/{index}.png"), image)
        mask = np.zeros((24, 40), np.uint8)
        mask[4 + index : 12 + index, 5:20] = 255
        raster.write_label_map(tmp_path / f"png/masks/{index}.png", mask)
    declare(tmp_path / "png", "ours", Wishes(labels={"polyp": 255}))
    file = tmp_path / "medbench.toml"
    assert "values = [0, 65535]" in file.read_text()
    file.write_text(file.read_text().replace("[0, 65535]", "[0, 4095]"))
    (tmp_path / "net.py").write_text(NET)
    setup = medbench.load_predictor("net.py:Net", weights="none", classes=2, inference=SMALL).setup
    facts = {"model": "net.py:Net", "options": {}, "challenge": "ours", "split": "train", "image_size": 32,
             "classes": {"label_map": ["background", "polyp"]}, "recipe": {"name": "x"}}  # fmt: skip
    save_checkpoint(tmp_path / "w.pt", setup.module.state_dict(), facts)
    return tmp_path


def test_declared_values_give_the_bytes_of_the_run_for_files_and_arrays(deep):
    inside = run("net.py:Net", "ours", weights="w.pt").folder / "predictions"
    predictor = medbench.load_predictor("net.py:Net", weights="w.pt")
    rows = predict_images(predictor, deep / "png/images", deep / "out")
    assert {row.status for row in rows} == {"ok"}
    for path in inside.iterdir():
        assert (deep / "out/predictions" / path.name).read_bytes() == path.read_bytes()
        array = raster.read_image(deep / "png/images" / path.name)
        assert array.dtype == np.uint16
        np.testing.assert_array_equal(predictor.predict(array) * 255, raster.read_label_map(path))


def test_without_values_each_image_is_refused_by_name_and_the_option_says_them(deep, command):
    words = ("predict", "-m", "net.py:Net", "--weights", "none", "--classes", 2, "--image-size", 32)
    raster.write_image(deep / "png/images/plain.png", np.full((8, 8, 3), 90, np.uint8))
    told = command(*words, "--images", "png/images", "-o", "out")
    assert told.code == 1
    assert "1 of 11 cases predicted" in told.out
    assert "0.png: holds uint16 values, and nothing says what is black and what is white" in told.err
    (deep / "out/predictions/plain.png").unlink()
    told = command(*words, "--images", "png/images", "-o", "out", "--values", "0,65535")
    assert told.code == 0, told.err
    told = command(*words, "--images", "png/images", "-o", "out", "--values", "0,4095")
    assert "holds predictions made with other weights or settings" in told.err
    told = command(*words, "--images", "png/images", "-o", "all", "--values", "0,4095")
    assert (told.code, "11 of 11 cases predicted" in told.out) == (0, True), told.err
    assert (
        "is no least and greatest value" in command(*words, "--images", "x", "-o", "y", "--values", "9,1").err
    )
    told = command(*words, "--images", "png/images", "-o", "out", "--split", "test")
    assert "--split has no effect with --images." in told.err
    told = command("predict", "-m", "net.py:Net", "-c", "ours", "-o", "out", "--values", "0,9")
    assert "--values has no effect with a challenge." in told.err
    with pytest.raises(MedbenchError, match="uint16 from"):
        medbench.load_predictor("net.py:Net", weights="none", classes=2, inference=SMALL).predict(
            np.full((8, 8), 300, np.uint16)
        )


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("net.py:Net", "Declare the class in medbench.toml"),
        ("smp/unet", "medbench models show smp/unet"),
        ("command:cp {input} {output}", "a program is given the files"),
    ],
)
def test_a_contract_for_a_model_that_is_no_file_is_refused(deep, command, model, hint):
    told = command("run", "-m", model, "-c", "ours", "--weights", "none", "--contract", "size=32")
    assert told.code == 2
    assert (
        "--contract states the input of an exported network (-m file:…) alone. [model.contract]" in told.err
    )
    assert hint in told.err


def test_a_run_compared_with_itself_is_told(deep, command):
    folder = run("net.py:Net", "ours", weights="w.pt").folder
    told = command("compare", folder, folder, "--html", deep / "page.html")
    assert told.code == 0, told.err
    assert "is given 2 times: a run never differs from itself" in " ".join(told.out.split())
    assert "a run never differs from itself" in (deep / "page.html").read_text()
