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
    "monai/dynunet": {"filters": [8, 16, 32, 32]},
    "monai/segresnet_ds": {"init_filters": 8, "blocks_down": [1, 1, 1], "dsdepth": 2},
    "monai/mednext": {
        "init_filters": 8, "expansion": [2, 2], "blocks": [1, 1], "bottleneck_expansion": 2,
        "bottleneck_blocks": 1,
    },
    "monai/unetr": {
        "image_size": 48, "feature_size": 8, "hidden_size": 32, "mlp_dim": 32, "num_heads": 2,
    },
}  # fmt: skip
DEEP = {"monai/dynunet": 3, "monai/segresnet_ds": 2, "monai/mednext": 3}
CONVOLUTIONAL = ["monai/unet", "monai/segresnet", *DEEP]


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


@pytest.mark.slow
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
    output = network(torch.randn(2, 4, 32, 32, 32))
    outputs = output if isinstance(output, list) else [output]
    sum(logits.square().mean() for logits in outputs).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", SMALL)
def test_checkpoints_of_the_library_load(name):
    from monai.networks.nets import UNETR, DynUNet, MedNeXt, SegResNet, SegResNetDS, SwinUNETR, UNet

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
        "monai/dynunet": lambda: DynUNet(
            3, 4, 3, [3] * 4, [1, 2, 2, 2], [2] * 3, [8, 16, 32, 32], deep_supervision=True, deep_supr_num=2
        ),
        "monai/segresnet_ds": lambda: SegResNetDS(
            3, 8, 4, 3, norm="instance", blocks_down=(1,) * 3, dsdepth=2
        ),
        "monai/mednext": lambda: MedNeXt(
            3, 8, 4, 3, 2, 2, 2, 3, True, True, blocks_down=(1, 1), blocks_bottleneck=1, blocks_up=(1, 1)
        ),
        "monai/unetr": lambda: UNETR(4, 3, 48, 8, 32, 32, 2),
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


@pytest.mark.parametrize("name", DEEP)
def test_supervised_levels_come_in_training_alone_and_at_full_size(name):
    network = build(name)
    volume = torch.randn(1, 4, 24, 32, 20)
    levels = network.train()(volume)
    assert [tuple(level.shape) for level in levels] == [(1, 3, 24, 32, 20)] * DEEP[name]
    with torch.inference_mode():
        logits = network.eval()(volume)
    assert logits.shape == (1, 3, 24, 32, 20)
    assert isinstance(network.train()(volume), list), "the library's network follows the mode"


def test_a_supervised_level_counts_half_as_much_as_the_finer_one():
    from medbench.training.recipes import load_recipe
    from medbench.training.volumes import VolumeTask

    network = build("monai/dynunet").train()
    task = VolumeTask(network, load_recipe("monai", "quick"), 3, 1, with_mask=False)
    task.log = lambda *arguments, **options: None
    labels = torch.randint(0, 3, (1, 16, 16, 16))
    patches, present = torch.randn(1, 4, 16, 16, 16), torch.ones(1, 4, dtype=torch.bool)
    losses = [float(task.loss(level, labels)) for level in network(patches)]
    expected = (losses[0] + losses[1] / 2 + losses[2] / 4) / 1.75
    assert float(task.training_step((patches, labels, present), 0)) == pytest.approx(expected, rel=1e-5)


def test_unetr_takes_windows_up_to_its_own():
    network = build("monai/unetr").eval()
    with torch.inference_mode():
        assert network(torch.randn(1, 4, 48, 40, 17)).shape == (1, 3, 48, 40, 17)
