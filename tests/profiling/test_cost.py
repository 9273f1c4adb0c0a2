"""Operations are counted for every listed model, and a counter that broke is noticed."""

import copy
import functools

import pytest
import torch
from torch import nn

import medbench
from medbench.core.errors import MedbenchError
from medbench.core.registry import load_object
from medbench.models import list_models, model_entry
from medbench.profiling import cost as cost_module
from medbench.profiling import formulas
from medbench.profiling.cost import PRODUCTS, count_cost
from medbench.profiling.profile import saved_bytes
from medbench.profiling.reference_networks import Of, reference_networks
from medbench.profiling.self_test import self_test

KNOWN = reference_networks()


def without_values(name, num_classes=None):
    with torch.device("meta"):
        return medbench.create_model(name, num_classes=num_classes or classes_of(model_entry(name), 2))


def classes_of(entry, usual):
    """Every network takes any number of classes, but a frame of a video has one score."""
    return entry.num_classes if entry.spatial_dims == 1 else usual


def shape_of(entry, n, side):
    sides = (max(side, entry.min_size),) * entry.spatial_dims
    return (n, *sides, entry.in_channels) if entry.spatial_dims == 1 else (n, entry.in_channels, *sides)


def further_of(entry):
    return load_object(entry.further_inputs) if entry.further_inputs else None


def has_figures(entry):
    """Whether anybody else counted the model."""
    return entry.authors_gmacs is not None or entry.published_gflops is not None


@functools.cache
def counted(name):
    """Cost by shapes where there is a choice: as on the card where anybody else's figure is, else small."""
    entry = model_entry(name)
    if has_figures(entry):
        network, shape = without_values(name, entry.num_classes), (1, *entry.input_shape)
    else:
        side = FIXED_SIDE.get(name, 32 if entry.spatial_dims == 3 else 64)
        network, shape = without_values(name), shape_of(entry, 1, side)
    return count_cost(network, shape, further=further_of(entry), activations=False)


def layer_macs(network, images):
    """By the textbook formula for every convolution and linear layer that runs, seen by module hooks."""
    total = 0

    def see(module, arguments, output):
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.ConvTranspose2d):
            total += arguments[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += arguments[0].numel() * module.out_features

    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    handles = [part.register_forward_hook(see) for part in network.modules() if isinstance(part, kinds)]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    return total


# MONAI initialises these in a way that needs values.
BY_VALUES = ("monai/dynunet", "monai/unetr")
OTHER_SIZES = (
    *(name for name in list_models() if f"{name}.test" in list_models()),
    "brau_net.ibpe",
    "brau_net_pp.isic",
    "cm_cgns.classifier.vit_base",
    "fulltransnet.published",
    "medformer_base",
    "medformer_base.classifier",
    "medformer_small",
    "medformer_small.classifier",
    "monai/segresnet_ds",
)
"""Networks of the same layers as another in the list."""
LEARN_NOTHING = ("baseline/constant", "baseline/random", "baseline/uniform", "cm_cgns.zero_shot")
FIXED_SIDE = {"cm_cgns.classifier.vit_base": 224}
TINY = [name for name in list_models("*.test") if "boxes" not in model_entry(name).offers]
"""Counted whole in both ways."""
DETECTORS = [name for name in list_models() if "boxes" in model_entry(name).offers]


COMPARED = [name for name in list_models() if has_figures(model_entry(name)) and name not in DETECTORS]
COUNTED = [
    pytest.param(name, marks=[pytest.mark.exhaustive] if name in OTHER_SIZES and name not in COMPARED else [])
    for name in list_models()
    if name not in (*LEARN_NOTHING, *DETECTORS, *TINY)
]


@pytest.mark.parametrize("name", COUNTED)
def test_every_model_is_counted_whole(name):
    cost = counted(name)
    assert cost.uncounted == {}
    assert cost.way == ("values" if name in BY_VALUES else "shapes"), cost.note
    assert cost.macs > 0
    assert cost.other_flops > 0
    assert cost.flops == 2 * cost.macs == 2 * sum(cost.kinds.values())
    assert cost.modules[0].macs == cost.macs


@pytest.mark.parametrize("name", COMPARED)
def test_a_card_explains_why_its_figures_differ(name):
    entry, macs = model_entry(name), counted(name).macs / 1e9
    for theirs in (entry.authors_gmacs, entry.published_gflops and entry.published_gflops / 2):
        assert theirs is None or abs(macs / theirs - 1) < 0.005 or entry.cost_note
        assert theirs is None or 0.5 < macs / theirs < 2


@pytest.mark.parametrize("name", [name for name in list_models("smp/*") if name != "smp/dpt"])
def test_convolutional_models_cost_what_their_layers_do(name):
    network = without_values(name).eval()
    expected = layer_macs(network, torch.empty(1, 3, 64, 64, device="meta"))
    cost = counted(name)
    assert cost.macs - cost.kinds.get(PRODUCTS, 0) == expected


@pytest.mark.parametrize("name", [name for name in DETECTORS if name.endswith("retinanet.test")])
def test_detectors_are_counted_while_they_run_as_their_boxes_depend_on_values(name):
    entry = model_entry(name)
    network = medbench.create_model(name, num_classes=1).eval()
    counted = count_cost(network, shape_of(entry, 1, 64), further=further_of(entry))
    assert counted.way == "values"
    assert counted.note.startswith("not by shapes alone")
    assert counted.activation_bytes > 0
    convolutions = layer_macs(network, torch.rand(shape_of(entry, 1, 64)))
    assert counted.kinds["convolution"] + counted.kinds["linear"] == pytest.approx(convolutions, rel=0.1)


@pytest.mark.parametrize("name", TINY)
def test_values_or_shapes_count_the_same(name):
    entry = model_entry(name)
    shape = shape_of(entry, 2, 32 if entry.spatial_dims == 3 else 64)
    network = medbench.create_model(name, num_classes=classes_of(entry, 3))
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    by_shapes = count_cost(network, shape, further=further_of(entry), way="shapes")
    by_values = count_cost(network, shape, further=further_of(entry), way="values")
    assert by_shapes.macs == by_values.macs
    assert by_shapes.kinds == by_values.kinds
    assert by_shapes.way == "shapes"
    assert by_shapes.uncounted == by_values.uncounted == {}
    if name not in LEARN_NOTHING:
        assert by_shapes.macs == by_shapes.modules[0].macs > 0
        assert by_shapes.other_flops > 0
        assert by_shapes.flops == 2 * by_shapes.macs == 2 * sum(by_shapes.kinds.values())
    assert by_shapes.activation_bytes > 0
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_unet_with_resnet34_as_worked_out_by_hand():
    assert count_cost(without_values("smp/unet"), (1, 3, 256, 256), activations=False).macs == 7_823_425_536


@pytest.mark.parametrize("known", KNOWN, ids=[known.name for known in KNOWN])
@pytest.mark.parametrize("way", ["shapes", "values"])
def test_reference_networks(known, way):
    counted = count_cost(known.build(), known.shape, way=way, activations=False)
    assert counted.macs == known.macs
    assert counted.uncounted == {}
    if known.other_flops is not None:
        assert counted.other_flops == known.other_flops


def test_the_self_test_passes():
    assert all(check.passed for check in self_test())


def test_the_self_test_fails_loudly_when_attention_is_lost(monkeypatch):
    """As in torch's own table on the CPU: attention in a fused kernel counts nothing."""
    import contextlib

    broken = {key: value for key, value in formulas._PRODUCTS.items() if "flash_attention" not in key}
    monkeypatch.setattr(formulas, "_PRODUCTS", broken)
    monkeypatch.setattr(cost_module, "_plain_attention", contextlib.nullcontext)
    with pytest.raises(MedbenchError, match="scaled_dot_product_attention, MACs by values") as failure:
        self_test()
    assert failure.value.code == "profile.self_test"


def test_the_self_test_fails_loudly_when_a_formula_is_wrong(monkeypatch):
    monkeypatch.setitem(formulas._OTHER, "upsample_bilinear2d", lambda arguments, result: 1.0)
    with pytest.raises(MedbenchError, match="bilinear interpolation"):
        self_test()


def test_an_operator_without_a_formula_is_named():
    counted = count_cost(Of(torch.linalg.inv), (1, 4, 4))
    assert counted.uncounted == {"aten.linalg_inv_ex": 1}
    assert counted.macs == 0


def test_a_network_that_needs_values_is_counted_while_it_runs():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, rows):
            return self.layer(rows) if float(rows.sum()) > -1e9 else rows

    counted = count_cost(Branching(), (2, 4))
    assert (counted.way, counted.macs) == ("values", 2 * 4 * 4)
    assert "not by shapes alone" in counted.note


def test_settings_of_torch_are_put_back():
    fast = torch.backends.mha.get_fastpath_enabled()
    flash = torch.backends.cuda.flash_sdp_enabled()
    count_cost(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (1, 4, 8))
    assert torch.backends.mha.get_fastpath_enabled() is fast
    assert torch.backends.cuda.flash_sdp_enabled() is flash


def test_activations_are_what_backward_keeps():
    network = nn.Sequential(nn.Linear(8, 16, bias=False), nn.ReLU(), nn.Linear(16, 4, bias=False))
    assert count_cost(network, (5, 8)).activation_bytes == 4 * 5 * 16
    refused = count_cost(nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4)), (1, 8))
    assert refused.activation_bytes is None
    assert "no training on this input" in refused.note


def test_only_attention_is_called_attention():
    dense = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert count_cost(dense, (1, 10, 8), activations=False).attention_macs == 2 * 10 * 10 * 8
    linear = count_cost(without_values("mslau_net.test"), (1, 3, 64, 64), activations=False)
    assert 0 < linear.attention_macs < linear.kinds[PRODUCTS]


def test_the_tree_adds_up():
    modules = count_cost(without_values("dssau_net.test"), (1, 3, 128, 128)).modules
    root = modules[0]
    top = [module for module in modules if module.name and "." not in module.name]
    assert sum(module.parameters for module in top) == root.parameters
    assert sum(module.macs for module in top) <= root.macs
    assert sum(module.macs for module in top) > 0.9 * root.macs


def test_the_size_of_a_file_without_writing_it(tmp_path):
    network = nn.Linear(100, 50)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    assert abs(saved_bytes(network) - (tmp_path / "weights.pt").stat().st_size) <= 512
