import pytest
import torch
from torch.autograd import gradcheck

from medbench.models.blocks import bi_level_routing_attention as module
from medbench.models.blocks.bi_level_routing_attention import (
    AUTHORS_BLOCK_PARTS,
    BiLevelRoutingAttention,
    NormedFirstBlock,
)
from medbench.models.blocks.dual_sparse_selection_attention import FullAttention
from medbench.models.blocks.patch_expand import ExpandedHead, PatchExpand, channels_to_pixels
from medbench.models.brau_net import PatchMerging
from medbench.models.brau_net_pp import _SKIP_PARTS, ChannelSpatialAttention
from medbench.models.renaming import rename_parameters

PARTS = (*_SKIP_PARTS, *AUTHORS_BLOCK_PARTS, (r"\.bn\.", ".norm."))
LAYERS = {
    "bra_div": lambda: BiLevelRoutingAttention(24, 3, 4, 5),
    "bra_pad": lambda: BiLevelRoutingAttention(24, 3, 4, 5),
    "bra_all": lambda: BiLevelRoutingAttention(24, 3, 2, 4),
    "attn_lepe": lambda: FullAttention(32, 8),
    "block_bra": lambda: NormedFirstBlock(24, BiLevelRoutingAttention(24, 3, 4, 3), 3),
    "patch_merging_v1": lambda: PatchMerging(6),
    "patch_expand": lambda: PatchExpand(16),
    "sccsa": lambda: ChannelSpatialAttention(16),
}
ROUTED = ("bra_div", "bra_pad", "bra_all")


@pytest.fixture(scope="module")
def op(golden, fill):
    """``op(name)`` gives our layer with the authors' weights, the input as a map, and their output."""
    facts, arrays = golden("bra_ops")
    cases = {case["op"]: case for case in facts["ops"]}

    def get(name, dtype=torch.float64):
        case = cases[name]
        shapes = {entry["key"]: entry["shape"] for entry in case["state_dict"]}
        state = fill(shapes, [key for key in shapes if key.endswith("tracked")])
        is_attention = name in (*ROUTED, "attn_lepe")
        theirs, ours = ("layer.attn.", "layer.attention.") if is_attention else ("layer.", "layer.")
        state = {theirs + key: tensor for key, tensor in state.items()}
        renamed = rename_parameters(state, name, ((r"layer\.", "layer."),), PARTS)
        layer = LAYERS[name]()
        layer.load_state_dict({key.removeprefix(ours): tensor for key, tensor in renamed.items()})
        given = torch.randn(case["input_shape"], generator=torch.Generator().manual_seed(0))
        return layer.to(dtype).eval(), as_map(given).to(dtype), arrays

    return get


def as_map(tokens):
    """Tokens ``(N, H * H, C)`` to ``(N, H, H, C)``; maps stay."""
    if tokens.ndim == 4:
        return tokens
    side = round(tokens.shape[1] ** 0.5)
    return tokens.unflatten(1, (side, side))


@pytest.mark.parametrize("way", ["_attend_fetched", "_attend_masked"])
@pytest.mark.parametrize("grad", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
@pytest.mark.parametrize("name", [*ROUTED, "block_bra"])
def test_attention_is_the_authors(name, dtype, tolerance, grad, way, op, relative_error, monkeypatch):
    layer, features, arrays = op(name, dtype)
    monkeypatch.setattr(BiLevelRoutingAttention, "_mask_is_cheaper", lambda *_: way == "_attend_masked")
    with torch.set_grad_enabled(grad):
        output = layer(features)
    reference = arrays[f"{name}/out_f64"]
    assert output.dtype == dtype
    assert relative_error(output.reshape(reference.shape), reference) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
@pytest.mark.parametrize("name", ["attn_lepe", "patch_merging_v1", "patch_expand", "sccsa"])
def test_other_operators_are_the_authors(name, dtype, tolerance, op, relative_error):
    layer, features, arrays = op(name, dtype)
    reference = arrays[f"{name}/out_f64"]
    planes_first = name == "sccsa"
    output = layer(features.permute(0, 2, 3, 1) if planes_first else features)
    output = output.permute(0, 3, 1, 2) if planes_first else output
    assert relative_error(output.reshape(reference.shape), reference) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_last_enlargement_is_the_authors(dtype, tolerance, golden, fill, relative_error):
    facts, arrays = golden("bra_ops")
    case = next(case for case in facts["ops"] if case["op"] == "final_expand")
    state = fill({entry["key"]: entry["shape"] for entry in case["state_dict"]})
    head = ExpandedHead(8, 8)
    head.load_state_dict({**state, "output.weight": torch.eye(8).view(8, 8, 1, 1)})
    given = torch.randn(case["input_shape"], generator=torch.Generator().manual_seed(0))
    logits = head.to(dtype)(as_map(given).to(dtype))
    assert relative_error(logits.flatten(2).transpose(1, 2), arrays["final_expand/out_f64"]) < tolerance


@pytest.mark.parametrize("name", ROUTED)
def test_regions_are_chosen_as_the_authors_do(name, op):
    layer, features, arrays = op(name)
    bottom, right = -features.shape[1] % layer.n_win, -features.shape[2] % layer.n_win
    features = torch.nn.functional.pad(features, (0, 0, 0, right, 0, bottom))
    logits = layer.routing_logits(features)
    torch.testing.assert_close(
        logits, torch.as_tensor(arrays[f"{name}/route_logits_f64"]), rtol=1e-9, atol=1e-12
    )
    chosen = module.select_largest(logits, layer.topk).sort(-1).values
    assert torch.equal(chosen, torch.as_tensor(arrays[f"{name}/route_idx_sorted"]).long())
    assert not logits.requires_grad


@pytest.mark.parametrize("size", [(16, 16), (11, 13)], ids=["divided", "padded"])
@pytest.mark.parametrize("topk", [1, 5, 16])
def test_fetching_and_masking_agree_in_value_and_gradient(size, topk, monkeypatch):
    torch.manual_seed(0)
    layer = BiLevelRoutingAttention(16, 2, 4, topk).double()
    features = torch.randn(2, *size, 16, dtype=torch.float64, requires_grad=True)
    results = []
    for masked in (False, True):
        monkeypatch.setattr(layer, "_mask_is_cheaper", lambda _, masked=masked: masked)
        output = layer(features)
        gradients = torch.autograd.grad(output.square().sum(), (features, *layer.parameters()))
        results.append((output, *gradients))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True], ids=["fetched", "masked"])
def test_gradient_of_the_whole_layer(masked, monkeypatch):
    torch.manual_seed(0)
    layer = BiLevelRoutingAttention(4, 2, 2, 2).double()
    monkeypatch.setattr(layer, "_mask_is_cheaper", lambda _: masked)
    features = torch.randn(1, 4, 5, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(layer, (features,))


def test_the_normed_first_block_forgets_scale_and_shift_of_its_input():
    torch.manual_seed(0)
    block = NormedFirstBlock(16, BiLevelRoutingAttention(16, 2, 4, 4)).double()
    features = torch.randn(1, 8, 8, 16, dtype=torch.float64)
    torch.testing.assert_close(block(features), block(1000 * features + 7), rtol=1e-4, atol=1e-4)


def test_routing_is_in_float32_under_autocast():
    torch.manual_seed(0)
    layer = BiLevelRoutingAttention(32, 2, 4, 4)
    features = torch.randn(2, 16, 16, 32)
    plain = layer.routing_logits(features)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.routing_logits(features), plain)
        assert layer(features).dtype == torch.bfloat16
    half = layer.bfloat16().routing_logits(features.bfloat16())
    assert half.dtype == torch.float32


def test_small_maps_are_masked_and_large_ones_fetched():
    for (dim, heads, topk, side), masked in {
        (96, 2, 4, 64): False,
        (192, 4, 8, 32): False,
        (384, 8, 16, 16): True,
    }.items():
        layer = BiLevelRoutingAttention(dim, heads, 8, topk)
        assert layer._mask_is_cheaper(torch.zeros(1, side, side, dim)) is masked


def test_cutting_and_joining_are_inverse():
    features = torch.randn(2, 12, 20, 6)
    regions = module._cut(features, 4)
    assert torch.equal(regions[5], features[0, 3:6, 5:10].flatten(0, 1))
    assert torch.equal(module._join(regions, 4, 12, 20), features)


def test_channels_become_pixels_by_row_then_column():
    features = torch.arange(8.0).view(1, 1, 1, 8)
    assert channels_to_pixels(features, 2)[0].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


@pytest.mark.parametrize("raw", [False, True])
def test_merging_mixes_space_and_channels_only_when_raw(raw):
    torch.manual_seed(0)
    layer = PatchMerging(4, raw=raw).eval()
    features = torch.zeros(1, 8, 8, 4)
    touched = features.clone()
    touched[0, 0, 0, 0] = 1
    changed = (layer(touched) - layer(features)).abs().sum(-1)[0] > 0
    first_only = torch.zeros(4, 4, dtype=torch.bool)
    first_only[0, 0] = True
    assert torch.equal(changed, first_only) is not raw


def test_nothing_is_routed_where_all_regions_are_chosen(monkeypatch):
    layer = BiLevelRoutingAttention(24, 3, 2, 4)
    monkeypatch.setattr(layer, "routing_logits", None)
    assert layer(torch.randn(1, 8, 8, 24)).shape == (1, 8, 8, 24)


def test_little_is_kept_for_the_backward_pass():
    layer = BiLevelRoutingAttention(32, 2, 4, 8)
    features = torch.randn(1, 32, 32, 32, requires_grad=True)
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        layer(features)
    assert not layer._mask_is_cheaper(features)
    assert sum(kept.values()) < 2 * features.numel() * features.element_size()
