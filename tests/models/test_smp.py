import inspect
import socket

import pytest
import segmentation_models_pytorch as smp
import torch

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import list_models, model_entry
from medbench.models.smp_table import ARCHITECTURES

OURS = {
    "encoder_name",
    "encoder_weights",
    "in_channels",
    "classes",
    "activation",
    "aux_params",
    "upsampling",
    "kwargs",
}


def test_table_is_the_library_s():
    assert set(ARCHITECTURES) == set(smp.MODEL_ARCHITECTURES_MAPPING)
    for name, constructor in smp.MODEL_ARCHITECTURES_MAPPING.items():
        parameters = inspect.signature(constructor).parameters
        defaults = {key: value.default for key, value in parameters.items() if key not in OURS}
        assert ARCHITECTURES[name].options == defaults
        assert ARCHITECTURES[name].encoder == parameters["encoder_name"].default


@pytest.fixture
def offline(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("something wants the network")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.mark.parametrize("name", list_models("smp/*"))
def test_default_network_is_built_without_any_download(name, offline):
    with torch.device("meta"):
        network = medbench.create_model(name, num_classes=2)
    assert sum(parameter.numel() for parameter in network.parameters()) > 1_000_000


@pytest.mark.parametrize("name", list_models("smp/*"))
def test_any_size_and_depth(name):
    encoder = "tu-vit_tiny_patch16_224" if name == "smp/dpt" else "resnet18"
    for depth in {3, model_entry(name).options["encoder_depth"].default}:
        network = medbench.create_model(
            name, in_channels=1, num_classes=4, num_image_classes=2, encoder=encoder, encoder_depth=depth
        ).eval()
        with torch.inference_mode():
            logits, image_logits = network(torch.randn(1, 1, 50, 71))
        assert logits.shape == (1, 4, 50, 71)
        assert image_logits.shape == (1, 2)


def test_is_the_library_s_network_on_sizes_that_it_takes():
    network = medbench.create_model("smp/unet", num_classes=2, encoder="resnet18").eval()
    bare = smp.create_model("unet", "resnet18", encoder_weights=None, classes=2).eval()
    bare.load_state_dict(network.state_dict())
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(network(images), bare(images))


def test_edges_are_repeated():
    network = medbench.create_model("smp/unet", num_classes=2, encoder="resnet18").eval()
    images = torch.randn(1, 3, 60, 64)
    padded = torch.cat([images, images[..., -1:, :].expand(-1, -1, 4, -1)], dim=-2)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), network(padded)[..., :60, :])


@pytest.mark.parametrize(
    ("given", "meant"), [("resnet43", "resnet34"), ("tu-convnext_tyni", "tu-convnext_tiny")]
)
def test_unknown_encoder_names_the_nearest(given, meant):
    with pytest.raises(MedbenchError) as caught:
        medbench.create_model("smp/unet", num_classes=2, encoder=given)
    assert caught.value.code == "encoder.unknown"
    assert meant in caught.value.hint


def test_options_that_the_library_refuses_are_told():
    with pytest.raises(MedbenchError) as caught:
        medbench.create_model("smp/unet", num_classes=2, decoder_channels=[64, 32])
    assert caught.value.code == "model.option"
    assert "decoder_channels" in caught.value.message


def test_encoder_weights_come_from_a_local_file(tmp_path):
    torch.manual_seed(0)
    source = smp.encoders.get_encoder("resnet18", weights=None)
    path = tmp_path / "encoder.pt"
    torch.save(source.state_dict(), path)
    network = medbench.create_model("smp/unet", num_classes=2, encoder="resnet18", encoder_weights=str(path))
    assert torch.equal(network.encoder.layer1[0].conv1.weight, source.layer1[0].conv1.weight)

    with pytest.raises(MedbenchError, match="first missing") as caught:
        medbench.create_model("smp/unet", num_classes=2, encoder="resnet34", encoder_weights=path)
    assert caught.value.code == "weights.mismatch"
    with pytest.raises(MedbenchError) as caught:
        medbench.create_model("smp/unet", num_classes=2, encoder="resnet18", encoder_weights="imagenet")
    assert caught.value.code == "weights.missing"


def test_encoder_files_that_could_run_code_are_refused(tmp_path):
    path = tmp_path / "encoder.pt"
    torch.save({"call": inspect.signature}, path)
    with pytest.raises(MedbenchError) as caught:
        medbench.create_model("smp/unet", num_classes=2, encoder="resnet18", encoder_weights=path)
    assert caught.value.code == "weights.unsafe"
