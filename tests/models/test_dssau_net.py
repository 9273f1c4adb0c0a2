import pytest
import torch

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import model_entry
from medbench.models.dssau_net import DSSAUNet

CASES = ("256x256_s7", "192x256_s0", pytest.param("256x256_s0", marks=pytest.mark.exhaustive))
"""Two images of one size, and one of another."""
OUR_NAMES = {
    "Encoder.stages.0.0.attn": "encoder.0.0.attention",
    "Encoder.stages.0": "encoder.0",
    "Encoder.extra_norms.2": "encoder_norms.2",
    "Encoder.extra_norms.3": "encoder_norms.3",
    "decoder.PPMHead": "pooling",
    "Decoder.stages.3": "decoder.3",
    "decoder.fuse_all": "fusion",
}


@pytest.fixture(scope="module")
def authors(golden, fill):
    facts, arrays = golden("dssau_net")
    return facts, arrays, fill(facts["state_dict"], facts["integers"])


@pytest.fixture(scope="module")
def network(authors):
    network = medbench.create_model("dssau_net", num_classes=3)
    network.load_state_dict(medbench.official_state_dict("dssau_net", authors[2]))
    return network.double().eval()


@pytest.mark.parametrize("tag", CASES)
def test_computes_what_the_authors_program_computes(tag, authors, network, compare_sparse_with_golden):
    facts, arrays, _ = authors
    compare_sparse_with_golden(network, facts, arrays, tag, OUR_NAMES, 8, "output")


def test_has_the_authors_parameters_without_the_unused_ones(authors, network):
    published, unused = authors[0]["parameters"], 512
    count = sum(parameter.numel() for parameter in network.parameters())
    assert published == 29_250_627
    assert count == published - unused == model_entry("dssau_net").counted_parameters


def test_the_later_of_two_copies_of_the_decoder_wins(authors):
    state = dict(authors[2])
    key = "stages.0.0.pos_embed.weight"
    assert not torch.equal(state[f"Decoder.{key}"], state[f"decoder.Decoder.{key}"])
    ours = medbench.official_state_dict("dssau_net", state)
    assert torch.equal(ours["decoder.0.0.position.weight"], state[f"decoder.Decoder.{key}"])


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (lambda s: s.pop("cls_seg.0.bias"), "weights.mismatch", "segmentation_head.bias"),
        (lambda s: s.update({"backbone.0": torch.zeros(1)}), "weights.unknown_keys", "backbone.0"),
        (
            lambda s: s.update({"Encoder.stages.0.0.new": torch.zeros(1)}),
            "weights.mismatch",
            "encoder.0.0.new",
        ),
        (lambda s: s.update({"decoder.conv_x1.bias": torch.zeros(7)}), "weights.mismatch", "lift.bias (7,)"),
    ],
    ids=["missing", "unknown", "unknown in a known place", "shape"],
)
def test_wrong_checkpoints_are_refused_by_name(authors, change, code, named):
    state = dict(authors[2])
    change(state)
    with pytest.raises(MedbenchError) as caught:
        medbench.official_state_dict("dssau_net", state)
    assert caught.value.code == code
    assert named in caught.value.message


def test_authors_weights_for_other_channels_and_classes_load(authors):
    state = dict(authors[2])
    state["Encoder.downsample_layers.0.0.weight"] = torch.zeros(48, 1, 3, 3)
    state["cls_seg.0.weight"], state["cls_seg.0.bias"] = torch.zeros(5, 64, 3, 3), torch.zeros(5)
    network = medbench.create_model("dssau_net", in_channels=1, num_classes=5)
    network.load_state_dict(medbench.official_state_dict("dssau_net", state))


def test_padding_is_that_of_zeros_at_the_bottom_and_right():
    network = medbench.create_model("dssau_net.test", num_classes=2).eval()
    images = torch.randn(1, 3, 140, 129)
    padded = torch.zeros(1, 3, 160, 160)
    padded[..., :140, :129] = images
    with torch.inference_mode():
        torch.testing.assert_close(network(images), network(padded)[..., :140, :129])


def test_least_size_follows_the_number_of_regions():
    images = torch.randn(1, 3, 40, 50)
    for n_win, least in ((4, 64), (7, 128), (8, 128)):
        network = medbench.create_model("dssau_net.test", num_classes=2, n_win=n_win).eval()
        assert network.least_size == least
        with torch.inference_mode():
            assert network(images).shape == (1, 2, 40, 50)


@pytest.mark.parametrize(
    "options",
    [
        {"topk": (1, 4)},
        {"embed_dim": (96, 192, 384)},
        {"depth": (2, 2, 8)},
        {"head_dim": 36},
        {"decoder_dim": 100},
        {"n_win": 0},
        {"side_dwconv": 4},
        {"image_head": "decoder"},
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(options, assert_refused):
    assert_refused("dssau_net", options)


def test_drop_path_grows_from_the_largest_maps_to_the_smallest_in_both_halves():
    network = DSSAUNet()
    for half in (network.encoder, network.decoder):
        rates = [getattr(block.drop_path, "rate", 0.0) for blocks in half for block in blocks]
        assert rates == pytest.approx([0.2 * i / 13 for i in range(14)])


def test_initial_weights_follow_the_authors():
    torch.manual_seed(0)
    network = DSSAUNet()
    mlp = torch.cat([block.mlp[i].weight.detach().flatten() for block in network.encoder[2] for i in (0, 2)])
    assert float(mlp.std()) == pytest.approx(0.02, rel=0.01)
    qkv = network.encoder[2][0].attention.qkv.weight.detach()
    assert float(qkv.abs().max()) == pytest.approx(384**-0.5, rel=0.01), "a convolution's uniform start"
    full = network.encoder[3][0].attention.qkv.weight.detach()
    assert float(full.std()) == pytest.approx(0.02, rel=0.01)


def test_the_image_loss_moves_the_encoder_only_when_the_head_looks_at_it():
    images = torch.randn(2, 3, 128, 128)
    for image_head, reached in (("segmentation", False), ("encoder", True)):
        network = medbench.create_model(
            "dssau_net.test", num_classes=3, num_image_classes=2, image_head=image_head
        )
        network(images)[1].square().mean().backward()
        assert (network.stem[0][0].weight.grad is not None) is reached, image_head
        assert all(parameter.grad is not None for parameter in network.image_head.parameters())


def test_a_head_on_the_segmentation_needs_two_labels():
    with pytest.raises(MedbenchError, match="two or more num_classes"):
        medbench.create_model("dssau_net.test", num_classes=1, num_image_classes=2)
