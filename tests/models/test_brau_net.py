import pytest
import torch

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import model_entry
from medbench.models.blocks import bi_level_routing_attention as attention
from medbench.models.brau_net import BRAUNet

TAGS = ("256x256_c3_s4", pytest.param("256x256_c3_s0", marks=pytest.mark.exhaustive))
"""Two images of one size."""
OUR_NAMES = {
    "bra_unet.patch_embed": "stem",
    "bra_unet.stages.0.blocks.0": "encoder.0.0",
    "bra_unet.stages.0": "merges.0",
    "bra_unet.stages.1": "merges.1",
    "bra_unet.stages.2": "merges.2",
    "bra_unet.stages.3": "encoder.3",
    "bra_unet.layers_up.0": "expands.2",
    "bra_unet.layers_up.1": "expands.1",
    "bra_unet.layers_up.2": "expands.0",
    "bra_unet.layers_up.3": "decoder.0",
}
ROUTES = {
    "bra_unet.stages.0.blocks.0.attn.router": "encoder.0.0.attention",
    "bra_unet.stages.2.blocks.0.attn.router": "encoder.2.0.attention",
}


@pytest.fixture(scope="module")
def authors(golden, fill):
    facts, arrays = golden("brau_net")
    shapes = {entry["key"]: entry["shape"] for entry in facts["state_dict"]}
    return facts, arrays, fill(shapes, [key for key in shapes if key.endswith("num_batches_tracked")])


@pytest.fixture(scope="module")
def network(authors):
    network = medbench.create_model("brau_net", num_classes=3)
    network.load_state_dict(medbench.official_state_dict("brau_net", authors[2]))
    return network.double().eval()


@pytest.mark.slow
@pytest.mark.parametrize("tag", TAGS)
def test_computes_what_the_authors_program_computes(tag, authors, network, compare_with_golden):
    facts, arrays, _ = authors
    compare_with_golden(network, facts, arrays, tag, OUR_NAMES, ROUTES)


def test_has_the_authors_parameters(authors, network):
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == authors[0]["n_params"] == model_entry("brau_net").counted_parameters == 67_218_432


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (lambda s: s.pop("bra_unet.output.weight"), "weights.mismatch", "segmentation_head.output.weight"),
        (lambda s: s.update({"backbone.0": torch.zeros(1)}), "weights.unknown_keys", "backbone.0"),
        (
            lambda s: s.update({"bra_unet.norm_up.bias": torch.zeros(7)}),
            "weights.mismatch",
            "norm.bias (7,)",
        ),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_wrong_checkpoints_are_refused_by_name(authors, change, code, named):
    state = dict(authors[2])
    change(state)
    with pytest.raises(MedbenchError) as caught:
        medbench.official_state_dict("brau_net", state)
    assert caught.value.code == code
    assert named in caught.value.message


def test_authors_weights_for_other_classes_load(authors):
    state = dict(authors[2])
    state["bra_unet.output.weight"] = torch.zeros(5, 96, 1, 1)
    network = medbench.create_model("brau_net", num_classes=5)
    network.load_state_dict(medbench.official_state_dict("brau_net", state))


def test_one_channel_is_repeated():
    network = medbench.create_model("brau_net.test", num_classes=2).eval()
    images = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(images), network(images.repeat(1, 3, 1, 1)))


def test_padding_is_that_of_zeros_at_the_bottom_and_right():
    network = medbench.create_model("brau_net.test", num_classes=2).eval()
    images = torch.randn(1, 3, 140, 129)
    padded = torch.zeros(1, 3, 160, 160)
    padded[..., :140, :129] = images
    with torch.inference_mode():
        torch.testing.assert_close(network(images), network(padded)[..., :140, :129])


def test_merging_decides_how_tokens_are_read():
    torch.manual_seed(0)
    official = medbench.create_model("brau_net.test", num_classes=2).eval()
    spatial = medbench.create_model("brau_net.test", num_classes=2, merge="spatial").eval()
    spatial.load_state_dict(official.state_dict())
    images = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        first, second = official(images), spatial(images)
    assert float((first - second).norm() / first.norm()) > 0.05


def test_our_patch_expanding_is_optional_and_trains():
    torch.manual_seed(0)
    network = medbench.create_model("brau_net.test", num_classes=2, expansion="inverted_bottleneck")
    plain = medbench.create_model("brau_net.test", num_classes=2)
    differing = set(network.state_dict()) ^ set(plain.state_dict())
    assert differing
    assert all(key.startswith("expands.") for key in differing)
    network(torch.randn(2, 3, 70, 64)).square().mean().backward()
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in network.expands.parameters())


def test_channels_last_weights_give_the_same():
    network = medbench.create_model("brau_net.test", num_classes=2).eval()
    images = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        before = network(images)
        network.to(memory_format=torch.channels_last)
        torch.testing.assert_close(network(images.to(memory_format=torch.channels_last)), before)


@pytest.mark.parametrize(
    "options",
    [
        {"topk": (1, 4)},
        {"embed_dim": 95},
        {"depth": (2, 2, 8)},
        {"num_heads": (5, 4, 8, 8)},
        {"n_win": 0},
        {"side_dwconv": 4},
        {"merge": "raw"},
        {"expansion": "ibpe"},
        {"image_head": "decoder"},
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(options, assert_refused):
    assert_refused("brau_net", options)


def test_drop_path_grows_anew_in_every_stage():
    with torch.device("meta"):
        network = BRAUNet()
    for stages, depths in ((network.encoder, (4, 4, 8, 4)), (network.decoder, (4, 4, 8))):
        for blocks, depth in zip(stages, depths, strict=True):
            rates = [getattr(block.drop_path, "rate", 0.0) for block in blocks]
            assert rates == pytest.approx([0.2 * i / (depth - 1) for i in range(depth)])


def test_initial_weights_follow_the_authors():
    torch.manual_seed(0)
    network = BRAUNet(embed_dim=48, num_heads=(2, 4, 8, 8))
    for name, parameter in network.named_parameters():
        owner = network.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, torch.nn.Linear):
            if name.endswith("bias"):
                assert not parameter.any(), name
            else:
                assert float(parameter.detach().std()) == pytest.approx(0.02, rel=0.05), name


def test_a_selection_does_not_depend_on_the_order_of_the_regions_chosen(monkeypatch):
    network = medbench.create_model("brau_net.test", num_classes=2).eval()
    images = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        before = network(images)
        choose = attention.select_largest
        monkeypatch.setattr(attention, "select_largest", lambda *given: choose(*given).flip(-1))
        torch.testing.assert_close(network(images), before)
