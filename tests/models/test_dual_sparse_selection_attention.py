import pytest
import torch
from torch.autograd import gradcheck

from medbench.models.blocks import dual_sparse_selection_attention as module
from medbench.models.blocks.dual_sparse_selection_attention import (
    DualSparseSelectionAttention,
    FullAttention,
    RegionGrid,
    attend_to_selected,
    select_regions,
)

OUR_NAMES = {
    "lepe.weight": "local_enhancement.weight",
    "lepe.bias": "local_enhancement.bias",
    "qkv_linear.weight": "qkv.weight",
    "qkv_linear.bias": "qkv.bias",
    "qkv.weight": "qkv.weight",
    "output_linear.weight": "output.weight",
    "output_linear.bias": "output.bias",
    "proj.weight": "output.weight",
    "proj.bias": "output.bias",
}
TAGS = (
    "dssa_d64_h2_w8_k4_b2_32x32",
    "dssa_d96_h3_w8_k1_b1_64x64",
    "dssa_d64_h2_w7_k4_b1_30x26",
    "dssa_d64_h2_w8_k16_b1_14x14",
    "lepe_d64_h8_w0_k0_b1_7x9",
)


def build(case, fill):
    if case["kind"] == "dssa":
        layer = DualSparseSelectionAttention(
            case["dim"], case["num_heads"], case["n_win"], case["topk"], case["side_dwconv"]
        )
    else:
        layer = FullAttention(case["dim"], case["num_heads"])
    state = {
        OUR_NAMES[key]: tensor.flatten(1) if key.endswith("linear.weight") else tensor
        for key, tensor in fill(case["state_dict"]).items()
    }
    layer.load_state_dict(state)
    return layer


@pytest.mark.parametrize("grad", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("tag", TAGS)
def test_operator_is_the_authors(tag, dtype, grad, golden, fill, relative_error):
    facts, arrays = golden("dssa_op")
    case = next(case for case in facts["cases"] if case["tag"] == tag)
    layer = build(case, fill).to(dtype)
    features = torch.randn(case["shape"], generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.set_grad_enabled(grad):
        output = layer(features)
    assert relative_error(output[:, ::2, ::2, ::4], arrays[f"{tag}/output"]) < 1e-6
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    assert float(output.double().abs().sum()) == pytest.approx(case["abs_sum"], rel=tolerance)


@pytest.mark.parametrize("tag", TAGS[:4])
def test_regions_and_pixels_are_chosen_as_the_authors_do(tag, golden, fill):
    facts, arrays = golden("dssa_op")
    case = next(case for case in facts["cases"] if case["tag"] == tag)
    layer = build(case, fill).double()
    features = torch.randn(case["shape"], generator=torch.Generator().manual_seed(0)).double()
    _, height, width, dim = case["shape"]
    grid = RegionGrid(height, width, case["n_win"])
    assert list(grid.region) == case["region_size"]
    assert list(grid.shape) == case["regions"]
    qkv = layer.qkv(features)
    selected = select_regions(*grid.means(qkv)[..., : 2 * dim].chunk(2, dim=-1), case["topk"])
    torch.testing.assert_close(
        selected.sort(-1).values, torch.as_tensor(arrays[f"{tag}/regions"]).long(), rtol=0, atol=0
    )
    query, key, _ = (grid.cut(part, case["num_heads"])[0, 0] for part in qkv.split(dim, dim=-1))
    regions = [0, 1, 2, 3, len(query) - 1]
    logits = torch.stack([(query[r] * layer.scale) @ key[selected[0, r]].flatten(0, 1).T for r in regions])
    kept = logits.topk(case["k2"], dim=-1).values
    torch.testing.assert_close(kept, torch.as_tensor(arrays[f"{tag}/pixel_scores"]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [(16, 16), (11, 13)], ids=["divided", "padded"])
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "tied"])
def test_fetching_and_masking_agree_in_value_and_gradient(size, ties):
    torch.manual_seed(0)
    grid = RegionGrid(*size, 4)
    query, key, value = (
        grid.cut(torch.randn(2, *size, 16, dtype=torch.float64), 2).requires_grad_() for _ in range(3)
    )
    if ties:
        with torch.no_grad():
            key[..., 3:, :] = key[..., :1, :]
            value[..., 3:, :] = value[..., :1, :]
    regions, pixels = query.shape[2:4]
    selected = torch.rand(2, regions, regions).topk(5, dim=-1).indices
    results = []
    for attend in (module._attend_gathered, module._attend_masked):
        output = attend(query, key, value, selected, 5 * pixels // 8)
        output = grid.join(output)
        gradient = torch.autograd.grad(output.square().sum(), (query, key) if ties else (query, key, value))
        results.append((output, gradient[0] if ties else gradient))
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12)


def test_gradient_of_the_whole_layer():
    torch.manual_seed(0)
    layer = DualSparseSelectionAttention(4, 2, 2, 2, 5).double()
    features = torch.randn(1, 4, 5, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(layer, (features,))


def test_nothing_selected_leaves_the_depthwise_convolution():
    torch.manual_seed(0)
    layer = DualSparseSelectionAttention(16, 2, 8, 4)
    features = torch.randn(1, 8, 8, 16)
    values = layer.qkv(features)[..., 32:]
    torch.testing.assert_close(layer(features), layer.output(layer.local_enhancement(values)))


def test_cutting_and_joining_are_inverse():
    features = torch.randn(2, 13, 17, 6)
    for n_win in (2, 4, 5):
        grid = RegionGrid(13, 17, n_win)
        torch.testing.assert_close(grid.join(grid.cut(features, 3)), features, rtol=0, atol=0)


def test_means_leave_out_what_lies_beyond_the_map():
    grid = RegionGrid(5, 5, 2)
    assert grid.shape == (3, 3)
    means = grid.means(torch.full((1, 5, 5, 4), 7.0))
    torch.testing.assert_close(means, torch.full((1, 9, 4), 7.0))


def test_small_maps_are_masked_and_large_ones_fetched(monkeypatch):
    taken = []
    monkeypatch.setattr(module, "_attend_masked", lambda query, *rest: taken.append("masked") or query)
    monkeypatch.setattr(module, "_attend_gathered", lambda query, *rest: taken.append("fetched") or query)
    for size, topk in ((64, 1), (32, 4), (16, 16)):
        query = RegionGrid(size, size, 8).cut(torch.zeros(1, size, size, 32), 1)
        attend_to_selected(query, query, query, torch.zeros(1, 64, topk, dtype=torch.int64))
    assert taken == ["fetched", "fetched", "masked"]
