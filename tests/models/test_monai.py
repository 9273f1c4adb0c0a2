"""MONAI's three-dimensional networks: any size, any channels, the library's own parameters."""

import pytest
import torch

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import model_entry

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {
    "monai/unet": {"channels": [8, 16, 32]},
    "monai/segresnet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    "monai/swinunetr": {"feature_size": 12},
}
CONVOLUTIONAL = ["monai/unet", "monai/segresnet"]


def build(name, **changes):
    torch.manual_seed(0)
    return medbench.create_model(name, **{"num_classes": 3, **SMALL[name], **changes})


@pytest.mark.parametrize("name", SMALL)
def test_cards_say_that_they_see_volumes(name):
    entry = model_entry(name)
    assert entry.spatial_dims == 3
    assert not entry.modality_mask
    assert entry.input_shape == (4, *(entry.image_size,) * 3)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@pytest.mark.parametrize(("channels", "sides"), [(1, (32, 32, 32)), (4, (17, 20, 9)), (5, (40, 33, 32))])
def test_logits_have_the_size_of_the_input(name, channels, sides):
    volume = torch.randn(2, channels, *sides, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits = build(name, in_channels=channels).eval()(volume)
    assert logits.shape == (2, 3, *sides)
    assert logits.isfinite().all()


def test_swin_unetr_pads_to_what_its_stages_need():
    with torch.inference_mode():
        logits = build("monai/swinunetr").eval()(torch.randn(1, 4, 33, 20, 40))
    assert logits.shape == (1, 3, 33, 20, 40)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_padding_leaves_sizes_that_fit_alone(name):
    network = build(name).eval()
    volume = torch.randn(1, 4, 32, 32, 32)
    with torch.inference_mode():
        assert torch.equal(network(volume), network._forward(volume))


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_backward_reaches_every_parameter(name):
    network = build(name).train()
    network(torch.randn(2, 4, 32, 32, 32)).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", SMALL)
def test_checkpoints_of_the_library_load(name):
    from monai.networks.nets import SegResNet, SwinUNETR, UNet

    bare = {
        "monai/unet": lambda: UNet(3, 4, 3, (8, 16, 32), (2, 2), num_res_units=2),
        "monai/segresnet": lambda: SegResNet(
            init_filters=8,
            in_channels=4,
            out_channels=3,
            blocks_down=(1, 1),
            blocks_up=(1,),
            dropout_prob=0.2,
        ),
        "monai/swinunetr": lambda: SwinUNETR(4, 3, feature_size=12),
    }[name]()
    build(name).load_state_dict(bare.state_dict(), strict=True)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("monai/swinunetr", {"feature_size": 13}),
        ("monai/unet", {"channels": [8]}),
        ("monai/segresnet", {"init_filters": 9}),
    ],
)
def test_options_that_do_not_go_together_are_one_line(name, wrong):
    with pytest.raises(MedbenchError) as caught:
        build(name, **wrong)
    assert caught.value.code == "model.option"
