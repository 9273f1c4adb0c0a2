import pytest
import torch
from torchvision.ops import box_iou

import medbench
from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.models import list_models, model_entry
from medbench.models.medformer import detection_network
from medbench.running.networks import plan_network

PLACES = {
    "downsample_layers.0": "stem",
    "stages.0.0.attn": "encoder.0.0.attention",
    **{f"stages.{level}": f"encoder.{level}" for level in range(4)},
    **{f"MedFormer_mm.extra_norms.{level}": f"encoder_norms.{level}" for level in range(4)},
    "bottleneck": "bottleneck",
    "fpn_bottleneck": "fusion",
}
CASES = [
    ("medformer_tiny", "medformer_tiny.classifier", "224x224_s0"),
    pytest.param("medformer_tiny", "medformer_tiny.classifier", "256x256_s0", marks=pytest.mark.exhaustive),
    pytest.param("medformer_small", "medformer_small.classifier", "224x224_s0", marks=pytest.mark.exhaustive),
    ("medformer_small", "medformer_small.classifier", "256x256_s1"),
    ("medformer_base", "medformer_base.classifier", "224x224_s0"),
    pytest.param("medformer_base", "medformer_base.classifier", "256x256_s0", marks=pytest.mark.exhaustive),
    ("medformer_upernet_isic", "medformer_small", "256x256_s1"),
    ("medformer_upernet_synapse", "medformer_base", "224x224_s0"),
]


@pytest.mark.parametrize(("file", "name", "tag"), CASES)
def test_computes_what_the_authors_program_computes(
    file, name, tag, golden, fill, compare_sparse_with_golden
):
    facts, arrays = golden(file)
    network = medbench.create_model(name, num_classes=model_entry(name).num_classes)
    state = medbench.official_state_dict(name, fill(facts["state_dict"], facts["integers"]))
    network.load_state_dict(state)
    assert sum(parameter.numel() for parameter in network.parameters()) == facts["parameters"]
    assert facts["parameters"] == model_entry(name).authors_parameters
    step = next(case for case in facts["cases"] if case["tag"] == tag)["output_step"]
    compare_sparse_with_golden(network.double().eval(), facts, arrays, tag, PLACES, step, "out_f64")


@pytest.mark.parametrize(
    ("name", "parameter"), [("medformer_small", "conv_seg.bias"), ("medformer_small.classifier", "head.bias")]
)
def test_wrong_checkpoints_are_refused_by_name(name, parameter, golden, fill):
    facts, _ = golden("medformer_small" if "classifier" in name else "medformer_upernet_isic")
    state = fill(facts["state_dict"], facts["integers"])
    with pytest.raises(MedbenchError, match=r"backbone\.0.*weights\.unknown_keys"):
        medbench.official_state_dict(name, {**state, "backbone.0": torch.zeros(1)})
    del state[parameter]
    with pytest.raises(MedbenchError, match=r"_head\.bias.*weights\.mismatch"):
        medbench.official_state_dict(name, state)


@pytest.mark.parametrize("name", ["medformer.test", "medformer.classifier.test"])
def test_small_pictures_are_padded_with_zeros_at_the_bottom_and_right(name):
    network = medbench.create_model(name, num_classes=2).eval()
    side = network.least_size
    images = torch.randn(1, 3, 90, side + 9)
    padded = torch.zeros(1, 3, side, side + 9)
    padded[..., :90, :] = images
    with torch.inference_mode():
        expected = network(padded)
        expected = expected if expected.ndim == 2 else expected[..., :90, :]
        torch.testing.assert_close(network(images), expected)


def test_a_grey_picture_is_repeated_to_three_channels():
    network = medbench.create_model("medformer.test", num_classes=2).eval()
    images = torch.randn(1, 1, 128, 128)
    with torch.inference_mode():
        assert torch.equal(network(images), network(images.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_the_classifier_in_bfloat16(training):
    torch.manual_seed(0)
    network = medbench.create_model("medformer.classifier.test", num_classes=4).train(training)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.randn(2, 3, 112, 112))
    assert logits.shape == (2, 4)
    logits.float().square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("way", model_entry("medformer.classifier.test").exports)
def test_the_classifier_can_be_exported(way):
    network = medbench.create_model("medformer.classifier.test", num_classes=4).eval()
    images, other = torch.randn(2, 1, 3, 112, 112).unbind()
    with torch.no_grad():
        if way == "torch.export":
            module = torch.export.export(network, (images,)).module()
        else:
            module = torch.jit.trace(network, images, check_trace=False)
        torch.testing.assert_close(module(other), network(other), rtol=1e-4, atol=1e-5)


def tiny_detector(kind, n_win=4):
    torch.manual_seed(0)
    return detection_network(
        detector=kind,
        n_win=n_win,
        embed_dim=(16, 32, 64, 64),
        depth=(1, 1, 2, 1),
        head_dim=16,
        decoder_dim=32,
        image_size=64,
        drop_path=0.0,
    )


@pytest.fixture
def lesion():
    """An image with one bright square, and torchvision's target for it."""
    picture = 0.3 * torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1))
    picture[:, 20:52, 12:44] += 0.7
    return picture, {"boxes": torch.tensor([[12.0, 20.0, 44.0, 52.0]]), "labels": torch.tensor([1])}


@pytest.mark.slow
def test_the_detector_learns_a_box_and_finds_it(lesion):
    network, (picture, target) = tiny_detector("retinanet"), lesion
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=100)
    for _ in range(100):
        total = sum(network.train()([picture], [target]).values())
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    assert all(parameter.grad is not None for parameter in network.parameters())
    with torch.inference_mode():
        (found,) = network.eval()([picture])
    best = found["scores"].argmax()
    assert float(box_iou(found["boxes"][best : best + 1], target["boxes"])) > 0.9
    assert float(found["scores"][best]) > 0.5


def test_the_two_stage_detector_trains_and_answers_in_pixels_of_the_picture(lesion):
    network, (picture, target) = tiny_detector("faster_rcnn"), lesion
    losses = network.train()([picture], [target])
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    with torch.inference_mode():
        (found,) = network.eval()([torch.rand(3, 128, 96)])
    assert found["boxes"].shape[1:] == (4,)
    assert (found["boxes"] >= 0).all()
    assert (found["boxes"] <= torch.tensor([96.0, 128.0, 96.0, 128.0])).all()


@pytest.mark.parametrize(("kind", "stride"), [("retinanet", 8), ("faster_rcnn", 4)])
def test_anchors_of_pictures_that_are_padded_for_the_regions_keep_the_stride_of_the_map(kind, stride):
    network = tiny_detector(kind, n_win=8).eval()
    seen = []
    anchors = network.anchor_generator if kind == "retinanet" else network.rpn.anchor_generator
    anchors.register_forward_hook(lambda module, inputs, output: seen.append(inputs))
    with torch.inference_mode():
        network([torch.rand(3, 64, 96)])
    ((pictures, maps),) = seen
    assert pictures.tensors.shape[-2:] == (64, 96), "below 16 * n_win"
    assert maps[0].shape[-2:] == (64 // stride, 96 // stride)
    assert maps[1].shape[-2:] == (32 // stride, 48 // stride)


@pytest.mark.parametrize(
    "options",
    [
        {"topk": (1, 4)},
        {"embed_dim": (96, 192, 384)},
        {"embed_dim": (32, 64, 128, 252)},
        {"depth": (2, 2, 8)},
        {"head_dim": 36},
        {"n_win": 0},
        {"side_dwconv": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["medformer_tiny", "medformer_tiny.classifier"])
def test_options_that_do_not_go_together_are_refused(name, options, assert_refused):
    assert_refused(name, options)


@pytest.mark.parametrize("options", [{"decoder_dim": 0}, {"image_head": "decoder"}], ids=str)
def test_wrong_options_of_the_decoder_are_refused(options, assert_refused):
    assert_refused("medformer_tiny", options)


@pytest.mark.parametrize("options", [{"decoder_dim": 0}, {"detector": "yolo"}, {"topk": (1, 4)}], ids=str)
def test_wrong_options_of_the_detector_are_refused(options):
    with pytest.raises(MedbenchError, match=rf"{next(iter(options))}.*model\.option"):
        detection_network(**options)


@pytest.mark.parametrize("name", list_models("medformer*.classifier*"))
def test_what_makes_no_label_maps_is_refused_for_segmentation(name):
    with pytest.raises(MedbenchError, match=r"demands label maps.*model\.task"):
        plan_network(name, load_challenge("isic2018"), {})


def test_initial_weights_follow_the_authors():
    torch.manual_seed(0)
    network = medbench.create_model("medformer_tiny", num_classes=2)
    rates = [getattr(block.drop_path, "rate", 0.0) for blocks in network.encoder for block in blocks]
    assert rates == pytest.approx([0.1 * i / 13 for i in range(14)])
    bottleneck = network.bottleneck.conv.weight.detach()
    assert float(bottleneck.std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02), "Kaiming by fan out"
    assert all(float(layer.conv.bias.abs().max()) == 0 for layer in network.laterals)
