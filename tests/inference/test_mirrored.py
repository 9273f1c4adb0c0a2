"""Mirrored views of images: turned back, averaged, and recorded."""

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from medbench.inference.mirrored import MirroredNetwork
from medbench.running.run import run


class Sloped(nn.Module):
    """Logits that depend on the place of a pixel, and a class of the whole image."""

    def forward(self, images):
        slope = torch.arange(images.shape[-1], dtype=images.dtype)
        return images * slope, images.flatten(1)[:, :2]


def test_every_view_is_turned_back_before_the_mean():
    images = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    maps, classes = MirroredNetwork(Sloped())(images)
    torch.testing.assert_close(maps, images * 1.5)
    views = [images.flip(axes).flatten(1)[:, :2] for axes in ((), (2,), (3,), (2, 3))]
    torch.testing.assert_close(classes, torch.stack(views).mean(0))


def test_a_mapping_keeps_its_tasks():
    class Named(nn.Module):
        def forward(self, images):
            return {"label_map": images, "image_classes": images.mean((2, 3))}

    images = torch.randn(1, 2, 3, 3)
    output = MirroredNetwork(Named())(images)
    torch.testing.assert_close(output["label_map"], images)
    torch.testing.assert_close(output["image_classes"], images.mean((2, 3)))


@pytest.mark.parametrize(
    ("model", "challenge"),
    [
        ("medformer.retinanet.test", "cvc_clinicdb_boxes"),
        ("heatmap_unet.test", "iugc2025"),
        ("fulltransnet.test", "tvsum"),
    ],
)
def test_answers_that_no_view_turns_back_are_refused_at_once(model, challenge):
    from medbench.core.errors import MedbenchError
    from medbench.running.request import Inference, Request

    with pytest.raises(MedbenchError) as error:
        Request.of(model, challenge, weights="none", inference=Inference(mirror=True)).plan()
    assert error.value.code == "inference.setting"


@pytest.mark.slow
def test_a_mirrored_run_has_a_record_of_its_own(small_cvc, tmp_path, one_thread):
    from medbench.running.request import Inference

    places = {"runs": tmp_path / "runs", "leaderboards": tmp_path / "boards"}
    arguments = {"data": small_cvc, "weights": "none", "options": {"encoder": "mobilenet_v2"}, **places}
    plain = run("smp/unet", "cvc_clinicdb", inference=Inference(image_size=32), **arguments)
    mirrored = run("smp/unet", "cvc_clinicdb", inference=Inference(image_size=32, mirror=True), **arguments)
    assert "mirror" not in plain.record.settings
    assert mirrored.record.settings["mirror"] is True
    assert plain.record.key != mirrored.record.key
    assert "--mirror" in mirrored.record.command
