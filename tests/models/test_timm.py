"""Classifiers of timm: any by name, options, fixed sizes, local weights."""

import pytest
import timm
import torch

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import list_models, model_entry
from medbench.models.timm_table import LISTED
from medbench.testing import check_model


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_networks_that_no_listing_shows_keep_the_contract(name):
    assert f"timm/{name}" not in list_models()
    check_model(f"timm/{name}")


def test_the_listed_ones_are_there_and_normalise_as_imagenet():
    for name in LISTED:
        assert f"timm/{name}" in list_models("timm/*")
        assert model_entry(f"timm/{name}").mean == (0.485, 0.456, 0.406)


def test_outputs_are_the_librarys_own():
    torch.manual_seed(0)
    ours = medbench.create_model("timm/test_resnet", num_classes=5).eval()
    torch.manual_seed(0)
    theirs = timm.create_model("test_resnet", num_classes=5).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs(images))


def test_networks_of_a_fixed_size_take_any(one_thread):
    network = medbench.create_model("timm/deit_small_patch16_224", num_classes=3).eval()
    assert network.side == 224
    with torch.inference_mode():
        assert network(torch.randn(1, 3, 96, 80)).shape == (1, 3)


def test_unknown_names_and_options_are_told_in_one_line():
    with pytest.raises(MedbenchError) as caught:
        model_entry("timm/resnet19")
    assert caught.value.code == "model.unknown"
    assert "timm/resnet18" in caught.value.hint
    with pytest.raises(MedbenchError) as caught:
        medbench.create_model("timm/test_resnet", num_classes=2, depth=3)
    assert caught.value.code == "model.option"
    with pytest.raises(MedbenchError) as caught:
        medbench.create_model("timm/densenet121", num_classes=2, drop_path_rate=0.1)
    assert caught.value.code == "model.option"


def test_drop_path_is_an_option():
    network = medbench.create_model("timm/test_vit", num_classes=2, drop_path_rate=0.3)
    rates = [module.drop_prob for module in network.modules() if type(module).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.3)


def test_local_weights_without_their_classifier(tmp_path):
    torch.manual_seed(3)
    source = timm.create_model("test_resnet", num_classes=10)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    torch.manual_seed(4)
    network = medbench.create_model(
        "timm/test_resnet", num_classes=4, pretrained_weights=str(tmp_path / "w.pth")
    )
    own, theirs = network.state_dict(), source.state_dict()
    for key in own:
        if own[key].shape == theirs[key].shape:
            assert torch.equal(own[key], theirs[key])
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    for path, code in (
        (tmp_path / "none.pth", "weights.missing"),
        (tmp_path / "other.pth", "weights.mismatch"),
    ):
        with pytest.raises(MedbenchError) as caught:
            medbench.create_model("timm/test_resnet", num_classes=4, pretrained_weights=str(path))
        assert caught.value.code == code
