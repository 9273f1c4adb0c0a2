"""A tiny trained-looking submission to grand-challenge, built once."""

import json
from pathlib import Path

import pytest

from medbench.submissions.build.context import BuildRequest, build_context

GRAND_CHALLENGE = """
name = "{name}"
challenge = "iugc2024"
model = "dssau_net.test"
platform = "grand-challenge"
author = "A. Tester"
method = "{method}"
[weights]
file = "weights.pt"
delivery = "{delivery}"
[inference]
image_size = 64
[image]
packages = "{packages}"
[[interfaces]]
[[interfaces.inputs]]
slug = "ultrasound"
path = "images/ultrasound"
size = [128, 128]
[[interfaces.outputs]]
slug = "segmentation"
path = "images/segmentation"
[[interfaces]]
[[interfaces.inputs]]
slug = "ultrasound"
path = "images/ultrasound"
[[interfaces.inputs]]
slug = "age"
path = "age.json"
kind = "json"
[[interfaces.outputs]]
slug = "segmentation"
path = "images/segmentation"
"""


def save_weights(path: Path, model: str, **options) -> None:
    """A fresh network's weights, as training leaves them."""
    import torch

    import medbench
    from medbench.inference.weights import save_checkpoint

    torch.manual_seed(3)
    network = medbench.create_model(model, **options)
    save_checkpoint(path, network.state_dict(), {"model": model, "options": {}})


def write_toml(folder, platform, challenge, model, image_size, weights, delivery="baked"):
    """A submission file without sockets."""
    path = folder / "tiny.toml"
    path.write_text(
        f'name = "tiny"\nchallenge = "{challenge}"\nmodel = "{model}"\nplatform = "{platform}"\n'
        f'[weights]\nfile = "{weights}"\ndelivery = "{delivery}"\n[inference]\nimage_size = {image_size}\n'
    )
    return path


@pytest.fixture(scope="session", name="save_weights")
def save_weights_fixture():
    """:func:`save_weights`, for test files."""
    return save_weights


@pytest.fixture(scope="session", name="write_toml")
def write_toml_fixture():
    """:func:`write_toml`, for test files."""
    return write_toml


@pytest.fixture(scope="session")
def write_submission(tmp_path_factory):
    """Writes a submission to grand-challenge and its weights; the path."""
    folder = tmp_path_factory.mktemp("submissions")
    save_weights(folder / "weights.pt", "dssau_net.test", in_channels=3, num_classes=3, num_image_classes=2)

    def write(name="tiny", method="exec", delivery="baked", packages="index", change=("", "")):
        path = folder / f"{name}.toml"
        text = GRAND_CHALLENGE.format(name=name, method=method, delivery=delivery, packages=packages)
        assert change[0] in text
        path.write_text(text.replace(*change, 1))
        return path

    return write


@pytest.fixture(scope="session")
def built(write_submission, small_iugc, one_thread, tmp_path_factory):
    """A built submission, not to be changed."""
    return build_context(
        BuildRequest(write_submission(), data=small_iugc, output=tmp_path_factory.mktemp("build"))
    )


@pytest.fixture
def stage(built, tmp_path, monkeypatch):
    """An empty root with the folders that grand-challenge mounts; gives it and a way to write inputs.json."""
    monkeypatch.setenv("MEDBENCH_ROOT", str(tmp_path))
    for name in ("input", "output", "opt/ml/model"):
        (tmp_path / name).mkdir(parents=True)

    def inputs(*slugs, key="socket"):
        paths = {"ultrasound": "images/ultrasound", "age": "age.json"}
        entries = [{key: {"slug": slug, "relative_path": paths.get(slug, slug)}} for slug in slugs]
        (tmp_path / "input" / "inputs.json").write_text(json.dumps(entries))

    return tmp_path, inputs
