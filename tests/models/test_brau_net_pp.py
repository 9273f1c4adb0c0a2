import pytest
import torch

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import model_entry
from medbench.models.brau_net_pp import BRAUNetPP

UNUSED = 11_865_600
OUR_NAMES = {
    "bra_unet.downsample_layers.0": "stem",
    "bra_unet.stages.0": "encoder.0",
    "bra_unet.stages.1": "encoder.1",
    "bra_unet.stages.2": "encoder.2",
    "bra_unet.downsample_layers.3": "reduce.2",
    "bra_unet.layers_up.0": "expands.2",
    "bra_unet.sccsa3": "skips.2",
    "bra_unet.layers_up.1": "expands.1",
    "bra_unet.sccsa2": "skips.1",
    "bra_unet.layers_up.2": "expands.0",
    "bra_unet.sccsa1": "skips.0",
    "bra_unet.layers_up.3": "decoder.0",
}
ROUTES = {
    "bra_unet.stages.0.0.attn.router": "encoder.0.0.attention",
    "bra_unet.stages.2.0.attn.router": "encoder.2.0.attention",
}
MODELS = {"brau_net_pp_synapse": "brau_net_pp", "brau_net_pp_isic": "brau_net_pp.isic"}


@pytest.fixture(scope="module", params=MODELS)
def authors(request, golden, fill):
    facts, arrays = golden(request.param)
    shapes = {entry["key"]: entry["shape"] for entry in facts["state_dict"]}
    state = fill(shapes, [key for key in shapes if key.endswith("num_batches_tracked")])
    return facts, arrays, state, MODELS[request.param]


@pytest.fixture(scope="module")
def network(authors):
    name = authors[3]
    network = medbench.create_model(name, num_classes=model_entry(name).num_classes)
    network.load_state_dict(medbench.official_state_dict(name, authors[2]))
    return network.double().eval()


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_computes_what_the_authors_program_computes(place, authors, network, compare_with_golden):
    """For Synapse on a second image of one size, too."""
    facts, arrays, _, _ = authors
    if place == len(facts["cases"]):
        pytest.skip("one image alone")
    compare_with_golden(network, facts, arrays, facts["cases"][place]["tag"], OUR_NAMES, ROUTES)


def test_has_the_authors_parameters_without_the_unused_ones(authors, network):
    facts, _, state, name = authors
    unused = sum(tensor.numel() for key, tensor in state.items() if key.startswith("bra_unet.stages.3."))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert unused == UNUSED
    assert count == facts["n_params"] - unused == model_entry(name).counted_parameters


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (
            lambda s: s.pop("bra_unet.sccsa2.spatial_attention.3.bias"),
            "weights.mismatch",
            "skips.1.spatial.1.0.bias",
        ),
        (lambda s: s.update({"backbone.0": torch.zeros(1)}), "weights.unknown_keys", "backbone.0"),
        (lambda s: s.update({"bra_unet.norm_up.bias": torch.zeros(7)}), "weights.mismatch", "norm.bias (7,)"),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_wrong_checkpoints_are_refused_by_name(authors, change, code, named):
    state = dict(authors[2])
    change(state)
    with pytest.raises(MedbenchError) as caught:
        medbench.official_state_dict(authors[3], state)
    assert caught.value.code == code
    assert named in caught.value.message


def test_the_cvc_network_is_the_isic_one():
    assert model_entry("brau_net_pp.cvc") is model_entry("brau_net_pp.isic")


def test_one_channel_is_repeated():
    network = medbench.create_model("brau_net_pp.test", num_classes=2).eval()
    images = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(images), network(images.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize(
    "options",
    [
        {"topk": (1, 4)},
        {"embed_dim": 95},
        {"depth": (2, 2, 8, 2)},
        {"num_heads": (5, 4, 8)},
        {"n_win": 0},
        {"side_dwconv": 4},
        {"image_head": "decoder"},
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(options, assert_refused):
    assert_refused("brau_net_pp", options)


def test_drop_path_counts_the_two_unused_blocks():
    with torch.device("meta"):
        network = BRAUNetPP()
    encoder = [getattr(block.drop_path, "rate", 0.0) for blocks in network.encoder for block in blocks]
    assert encoder == pytest.approx([0.2 * i / 13 for i in range(12)])
    for blocks, depth in zip(network.decoder, (2, 2, 8), strict=True):
        rates = [getattr(block.drop_path, "rate", 0.0) for block in blocks]
        assert rates == pytest.approx([0.2 * i / (depth - 1) for i in range(depth)])
