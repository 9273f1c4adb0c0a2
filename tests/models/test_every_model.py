"""What every network of ours must do, on the tiny variant of each family and some of the library's."""

import warnings

import pytest
import torch

import medbench
from medbench.models import list_models, model_entry

SMP = {
    "smp/unet": {"encoder": "resnet18", "decoder_channels": (32, 16, 16, 8, 8)},
    "smp/fpn": {"encoder": "mobilenet_v2", "decoder_pyramid_channels": 32},
    "smp/deeplabv3+": {"encoder": "resnet18", "decoder_channels": 32},
    "smp/segformer": {"encoder": "mit_b0", "decoder_segmentation_channels": 32},
}
PLANAR = [n for n in list_models() if model_entry(n).spatial_dims == 2 and not model_entry(n).framework]
NAMES = [n for n in PLANAR if n.endswith(".test") and "label_map" in model_entry(n).offers]
NETWORKS = [*NAMES, *SMP]


def build(name, **changes):
    torch.manual_seed(0)
    return medbench.create_model(name, **{"num_classes": 3, **SMP.get(name, {}), **changes})


def images_for(name, n=2, channels=3, extra=(0, 0)):
    side = max(64, model_entry(name).min_size)
    return torch.randn(
        n, channels, side + extra[0], side + extra[1], generator=torch.Generator().manual_seed(1)
    )


def test_every_family_has_a_tiny_variant():
    libraries = ("smp/", "monai/", "timm/", "torchvision/", "baseline/")
    families = {model_entry(name).family for name in list_models() if not name.startswith(libraries)}
    for family in families:
        tiny = model_entry(f"{family}.test")
        network = medbench.create_model(tiny.name, num_classes=tiny.num_classes)
        count = sum(p.numel() for p in network.parameters())
        assert count < 1_000_000


@pytest.mark.parametrize("name", list_models())
def test_card_counts_the_parameters(name):
    entry = model_entry(name)
    with torch.device("meta"):
        network = medbench.create_model(name, num_classes=entry.num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == entry.counted_parameters


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("extra", "n"), [((0, 0), 1), ((0, 32), 2), ((5, 3), 1)], ids=str)
def test_logits_have_the_size_of_the_input(name, extra, n):
    images = images_for(name, n, extra=extra)
    with torch.inference_mode():
        logits = build(name).eval()(images)
    assert logits.shape == (n, 3, *images.shape[-2:])
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_sides_may_be_small(name):
    with torch.inference_mode():
        assert build(name).eval()(torch.randn(1, 3, 33, 40)).shape == (1, 3, 33, 40)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 5])
def test_other_channels_and_classes(name, channels):
    network = build(name, in_channels=channels, num_classes=7).eval()
    with torch.inference_mode():
        assert network(images_for(name, 1, channels)).shape[1] == 7


@pytest.mark.parametrize("name", NETWORKS)
def test_image_level_head(name):
    network = build(name, num_image_classes=4).eval()
    plain = build(name).eval()
    assert all(key.startswith("image_head.") for key in set(network.state_dict()) - set(plain.state_dict()))
    network.load_state_dict(plain.state_dict(), strict=False)
    with torch.inference_mode():
        logits, image_logits = network(images_for(name))
        torch.testing.assert_close(logits, plain(images_for(name)))
    assert image_logits.shape == (2, 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_backward_reaches_every_parameter(name):
    network = build(name, num_image_classes=2).train()
    logits, image_logits = network(images_for(name))
    (logits.square().mean() + image_logits.square().mean()).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", NETWORKS)
def test_evaluation_is_deterministic_and_independent_of_the_batch(name):
    network, images = build(name).eval(), images_for(name)
    with torch.inference_mode():
        first = network(images)
        assert torch.equal(first, network(images))
        torch.testing.assert_close(first[:1], network(images[:1]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_survive_a_file(name, tmp_path):
    network, images = build(name).eval(), images_for(name, 1)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(1)
    other = medbench.create_model(name, num_classes=3, **SMP.get(name, {})).eval()
    with torch.inference_mode():
        assert not torch.equal(network(images), other(images))
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert torch.equal(network(images), other(images))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_bfloat16_autocast(name, training):
    network, images = build(name).train(training), images_for(name)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images)
    assert logits.isfinite().all()
    if training:
        logits.float().square().mean().backward()
        assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    else:
        with torch.inference_mode():
            plain = network(images)
        assert float((logits - plain).detach().norm() / plain.norm()) < 0.2


def exported(network, images, way):
    if way == "torch.export":
        return torch.export.export(network, (images,)).module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(network, images, check_trace=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "way"), [(name, way) for name in NAMES for way in model_entry(name).exports], ids=str
)
def test_exports_that_the_card_names(name, way):
    network, images = build(name).eval(), images_for(name, 1)
    other = torch.randn_like(images)
    with torch.no_grad():
        module = exported(network, images, way)
        torch.testing.assert_close(module(other), network(other), rtol=1e-4, atol=1e-5)
