"""Detectors: names of torchvision, local weights, padding, and answers in pixels of the image."""

import numpy as np
import pytest
import torch

import medbench
from medbench.challenges import load_challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.sample import Sample
from medbench.inference.predictor import InputContract, NetworkPredictor
from medbench.models import list_models, model_entry
from medbench.running.networks import plan_network
from medbench.testing.models import check_model

BASELINES = {
    "torchvision/retinanet_resnet50_fpn": "retinanet_resnet50_fpn",
    "torchvision/fasterrcnn_resnet50_fpn": "fasterrcnn_resnet50_fpn",
}
TINY = ["medformer.retinanet.test", *(f"{name}.test" for name in BASELINES)]


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_have_the_parameters_of_torchvision(name):
    from torchvision.models import detection

    with torch.device("meta"):
        theirs = getattr(detection, BASELINES[name])(weights=None, weights_backbone=None, num_classes=91)
        ours = medbench.create_model(name, num_classes=90)
    shapes = {key: tensor.shape for key, tensor in ours.state_dict().items()}
    assert shapes == {key: tensor.shape for key, tensor in theirs.state_dict().items()}


@pytest.mark.parametrize("name", [*TINY, "torchvision/retinanet_resnet18_fpn"])
def test_the_contract_of_models(name):
    check_model(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_other_channels_classes_and_images_without_boxes(name):
    torch.manual_seed(0)
    network = medbench.create_model(name, in_channels=1, num_classes=3)
    targets = [
        {"boxes": torch.tensor([[4.0, 5.0, 40.0, 50.0]]), "labels": torch.tensor([3])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)},
    ]
    losses = network.train()(torch.rand(2, 1, 64, 64), targets)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())


def test_the_detector_is_an_option_of_ours():
    torch.manual_seed(0)
    network = medbench.create_model("medformer.retinanet.test", num_classes=1, detector="faster_rcnn")
    assert type(network).__name__ == "FasterRCNN"
    assert network.roi_heads.score_thresh == 0.05
    with pytest.raises(MedbenchError, match=r"detector='yolo'"):
        medbench.create_model("medformer.retinanet.test", num_classes=1, detector="yolo")
    with pytest.raises(MedbenchError, match=r"backbone='vgg'"):
        medbench.create_model(TINY[1], num_classes=1, backbone="vgg")


def test_ours_is_called_a_reconstruction_without_published_numbers():
    names = [name for name in list_models("medformer*.retinanet") if not name.endswith(".test")]
    assert len(names) == 3
    for name in names:
        entry = model_entry(name)
        assert "reconstruction" in entry.title
        assert (entry.published_parameters, entry.published_gflops, entry.authors_parameters) == (None,) * 3
    for challenge in ("kvasir_polyp", "cvc_clinicdb_boxes"):
        assert load_challenge(challenge).published() == []


def test_local_weights_of_a_detector_and_of_its_resnet(tmp_path):
    from torchvision.models import resnet18

    name = TINY[1]
    torch.manual_seed(1)
    other = medbench.create_model(name, num_classes=7)
    torch.save(other.state_dict(), tmp_path / "detector.pth")
    body = resnet18(weights=None)
    torch.save(body.state_dict(), tmp_path / "resnet.pth")
    torch.manual_seed(2)
    loaded = medbench.create_model(name, num_classes=2, pretrained_weights=tmp_path / "detector.pth")
    first = "backbone.fpn.inner_blocks.0.0.weight"
    assert torch.equal(loaded.state_dict()[first], other.state_dict()[first])
    assert loaded.head.classification_head.num_classes == 3
    assert "FrozenBatchNorm2d" in repr(loaded)
    loaded = medbench.create_model(name, num_classes=2, pretrained_weights=tmp_path / "resnet.pth")
    assert torch.equal(loaded.backbone.body.conv1.weight, body.conv1.weight)
    torch.save({"conv1.weight": body.conv1.weight}, tmp_path / "part.pth")
    (tmp_path / "code.pth").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for file, code in (("part", "mismatch"), ("code", "unsafe"), ("absent", "missing")):
        with pytest.raises(MedbenchError, match=f"weights.{code}"):
            medbench.create_model(name, num_classes=2, pretrained_weights=tmp_path / f"{file}.pth")


class BrightBox(torch.nn.Module):
    """Finds the box of what is bright, in pixels of its input, and one box in the padding."""

    def forward(self, images):
        answers = []
        for image in images:
            rows, columns = torch.nonzero(image[0] > 0.5, as_tuple=True)
            own = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            height, width = image.shape[1:]
            boxes = torch.tensor([[float(v) for v in own], [width - 9.0, height - 9.0, width, height]])
            answers.append(
                {"boxes": boxes, "scores": torch.tensor([0.9, 0.5]), "labels": torch.tensor([1, 2])}
            )
        return answers


@pytest.mark.parametrize("size", [(60, 100), (100, 60), (64, 64), (333, 512)], ids=str)
def test_padded_images_keep_their_shape_and_boxes_come_back_to_them(size):
    image = np.zeros((*size, 3), np.uint8)
    top, left, bottom, right = (round(size[k % 2] * share) for k, share in enumerate((0.2, 0.3, 0.6, 0.9)))
    image[top:bottom, left:right] = 255
    contract = InputContract(128, padded=True)
    prepared = contract.prepare(image[None])
    assert prepared.shape == (1, 3, 128, 128)
    short = round(min(size) * 128 / max(size))
    beyond = prepared[0, :, short:] if size[0] < size[1] else prepared[0, :, :, short:]
    assert not beyond.any()
    predictor = NetworkPredictor(BrightBox(), contract, tasks=("boxes",))
    (boxes,) = predictor.predict(Sample(Case("a", {}), image[None], frozenset({"boxes"})))["boxes"]
    np.testing.assert_allclose(boxes.corners[0], [left, top, right, bottom], atol=max(size) / 128)
    assert boxes.classes[0] == 0
    if short < 119:
        assert len(boxes.classes) == 1, "a box in the padding is no detection"


class NoNumber(torch.nn.Module):
    """Answers with a score that is no number."""

    def forward(self, images):
        nan = torch.full((1,), float("nan"))
        return [{"boxes": torch.ones(1, 4), "scores": nan, "labels": torch.ones(1)} for _ in images]


def test_detections_that_are_no_numbers_are_refused():
    predictor = NetworkPredictor(NoNumber(), InputContract(32, padded=True), tasks=("boxes",))
    sample = Sample(Case("a", {}), np.zeros((1, 32, 32, 3), np.uint8), frozenset({"boxes"}))
    with pytest.raises(MedbenchError, match="NaN or infinity"):
        predictor.predict(sample)


def test_images_of_challenges_of_boxes_are_padded_and_others_are_not():
    boxes = plan_network("medformer_tiny.retinanet", load_challenge("kvasir_polyp"), {})
    masks = plan_network("medformer_tiny", load_challenge("cvc_clinicdb"), {})
    assert boxes.contract().padded
    assert not masks.contract().padded
    assert boxes.recipe_family == "boxes"


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_answers_that_are_no_numbers_are_never_no_boxes(name, value):
    """torchvision leaves out boxes whose score is no number, as if nothing were there."""
    torch.manual_seed(0)
    network = medbench.create_model(name, num_classes=1)
    last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)][-1]
    last.bias.data.fill_(value)
    predictor = NetworkPredictor(network, InputContract(size=64), tasks=("boxes",))
    sample = Sample(Case("a", {}), np.zeros((1, 64, 64, 3), np.uint8), frozenset({"boxes"}))
    with pytest.raises(MedbenchError) as caught:
        predictor.predict(sample)
    assert caught.value.code == "network.not_finite"
