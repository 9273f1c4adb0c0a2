"""DMAF-Net (reconstruction): what its paper claims of missing modalities, and the sizes of its design."""

import itertools
import warnings

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import model_entry
from medbench.models.blocks.modality_fusion import ModalityFusion

MASKS = [mask for mask in itertools.product((True, False), repeat=4) if any(mask)]


def tiny(**options):
    torch.manual_seed(0)
    return medbench.create_model("dmaf_net.test", **{"in_channels": 4, "num_classes": 3, **options}).eval()


def volumes(n=1, side=32, channels=4):
    return torch.randn(n, channels, side, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network():
    return tiny()


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parts_have_the_sizes_of_the_design():
    with torch.device("meta"):
        full = medbench.create_model("dmaf_net", num_classes=4)
    assert [count(encoder) for encoder in full.encoders] == [1_473_216] * 4
    assert count(full.shared_decoder) == 593_356
    assert count(full.decoder) + count(full.deep_heads) == 594_332
    assert [count(fusion) for fusion in full.fusions] == [66_817, 67_073, 67_585, 235_521, 872_449]
    assert count(full.relation) == 82_560
    assert count(full) == 8_472_557


def test_it_is_shown_as_a_reconstruction_without_published_numbers():
    for name in ("dmaf_net", "dmaf_net.test"):
        entry = model_entry(name)
        assert "(reconstruction)" in entry.title
        assert entry.published_parameters is None
        assert entry.published_gflops is None


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: "".join("01"[bit] for bit in mask))
def test_content_of_missing_modalities_has_no_influence(network, mask):
    present = torch.tensor([mask])
    clean = volumes()
    noisy = clean.clone()
    noisy[0, ~present[0]] = 1e3 * torch.randn_like(noisy[0, ~present[0]])
    noisy[0, ~present[0], :4] = float("nan")
    with torch.inference_mode():
        logits = network(clean, present)
        assert logits.isfinite().all()
        assert torch.equal(logits, network(noisy, present))
        if all(mask):
            assert torch.equal(logits, network(clean))
        else:
            assert not torch.equal(logits, network(clean))


@pytest.mark.parametrize("att_map", ["softmax", "sigmoid"])
@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: "".join("01"[bit] for bit in mask))
def test_weights_of_missing_modalities_are_zero(att_map, mask):
    torch.manual_seed(0)
    fusion = ModalityFusion(6, 4, 3, 2, 0.1, att_map).eval()
    present = torch.tensor([mask])
    features = [torch.randn(1, 6, 8, 7, 9) if there else torch.zeros(1, 6, 8, 7, 9) for there in mask]
    with torch.inference_mode():
        maps = fusion.maps(features, present)
        fused = fusion(features, present)
    assert maps.shape == (1, 4, 8, 7, 9)
    assert (maps[0, ~present[0]] == 0).all()
    assert (maps[0, present[0]] > 0).all()
    expected = sum(weight * part for weight, part in zip(maps.split(1, dim=1), features, strict=True))
    torch.testing.assert_close(fused, expected)
    if att_map == "softmax":
        torch.testing.assert_close(maps.sum(dim=1), torch.ones(1, 8, 7, 9))
        if sum(mask) == 1:
            assert torch.equal(fused, features[mask.index(True)])


def test_weights_depend_on_the_features_of_all_that_are_there():
    torch.manual_seed(0)
    fusion = ModalityFusion(6, 3, 2, 1, 0.0, "softmax").eval()
    features = [torch.randn(1, 6, 8, 8, 8) for _ in range(3)]
    with torch.inference_mode():
        before = fusion.maps(features, None)
        moved = fusion.maps([features[0], features[1], features[2] + 3], None)
    assert ((before[:, :2] - moved[:, :2]).abs() > 1e-6).any()


def test_a_batch_with_different_masks_equals_its_samples_alone(network):
    batch = volumes(3)
    present = torch.tensor([[True, False, True, False], [False, False, False, True], [True] * 4])
    with torch.inference_mode():
        together = network(batch, present)
        for number in range(3):
            alone = network(batch[number : number + 1], present[number : number + 1])
            torch.testing.assert_close(together[number : number + 1], alone, rtol=1e-4, atol=1e-4)


def test_order_of_the_modalities_does_not_matter(network):
    order = [2, 0, 3, 1]
    other = tiny()
    other.encoders = nn.ModuleList(other.encoders[place] for place in order)
    for fusion in other.fusions:
        cells = fusion.grid**3
        position = fusion.position.data.unflatten(1, (4, cells))[:, order]
        fusion.position.data = position.flatten(1, 2)
    present = torch.tensor([[True, True, False, True]])
    with torch.inference_mode():
        expected = network(volumes(), present)
        found = other(volumes()[:, order], present[:, order])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("here", [[False, True, True, False], [False, True, False, False]])
def test_gradient_of_a_missing_modality_is_exactly_zero(here):
    network = tiny().train()
    paths = network.paths(volumes(), torch.tensor([here]))
    terms = (paths.logits, *paths.deep, *paths.separate, *paths.modalities, paths.joint)
    sum(term.square().sum() for term in terms).backward()
    for there, encoder in zip(here, network.encoders, strict=True):
        for name, parameter in encoder.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert bool(parameter.grad.any()) or not there or name.endswith("0.bias"), name
            assert there or not parameter.grad.any(), name


def test_training_reaches_every_parameter():
    network = tiny().train()
    paths = network.paths(volumes(), torch.ones(1, 4, dtype=torch.bool))
    tokens = paths.modalities[0].flatten(2).transpose(1, 2)
    fused = paths.joint.flatten(2).transpose(1, 2)
    related = (network.relation.attend(tokens, fused), network.relation.map(tokens))
    terms = (paths.logits, *paths.deep, *paths.separate, *related)
    sum(term.square().mean() for term in terms).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_paths_of_training():
    network = tiny()
    present = torch.tensor([[True, False, True, False], [True, True, False, False]])
    with torch.inference_mode():
        paths = network.paths(volumes(2), present)
        assert torch.equal(paths.logits, network(volumes(2), present))
        assert [len(logits) for logits in paths.separate] == [2, 1, 1, 0]
        assert [logits.shape[2] for logits in paths.deep] == [16, 8, 4, 2]
        alone = network.paths(volumes(2)[1:], present[1:] & torch.tensor([False, True, False, False]))
    torch.testing.assert_close(paths.separate[1], alone.separate[1], rtol=1e-4, atol=1e-4)
    assert not paths.modalities[3].any()
    assert not paths.modalities[1][0].any()


@pytest.mark.parametrize("sides", [(32, 33, 47), (5, 20, 40)], ids=str)
def test_any_size(network, sides):
    with torch.inference_mode():
        logits = network(torch.randn(1, 4, *sides))
    assert logits.shape == (1, 3, *sides)
    assert logits.isfinite().all()


def test_other_modalities_and_classes():
    with torch.inference_mode():
        assert tiny(in_channels=3, num_classes=6)(volumes(1, channels=3)).shape == (1, 6, 32, 32, 32)


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_bfloat16_autocast(training):
    network = tiny().train(training)
    present = torch.tensor([[True, False, True, True], [False, True, True, False]])
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(volumes(2), present)
    assert logits.isfinite().all()
    logits.float().square().mean().backward()
    assert all(
        parameter.grad is None or parameter.grad.isfinite().all() for parameter in network.parameters()
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", model_entry("dmaf_net.test").exports)
def test_exports_that_the_card_names(network, way):
    images, other = volumes(), torch.randn(1, 4, 32, 32, 32)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if way == "torch.export":
            module = torch.export.export(network, (images,)).module()
        else:
            module = torch.jit.trace(network, images, check_trace=False)
        torch.testing.assert_close(module(other), network(other), rtol=1e-4, atol=1e-5)


def test_relation_may_look_at_the_nearest_tokens_alone():
    network = tiny(graph_topk=1)
    tokens, fused = torch.randn(1, 5, 32), torch.randn(1, 7, 32)
    with torch.inference_mode():
        values = network.relation.value(fused).unflatten(-1, (8, 4)).transpose(1, 2)
        found = network.relation.attend(tokens, fused)
        query = network.relation.query(tokens).unflatten(-1, (8, 4)).transpose(1, 2)
        key = network.relation.key(fused).unflatten(-1, (8, 4)).transpose(1, 2)
        best = (query @ key.transpose(2, 3)).argmax(dim=-1)
        picked = values.gather(2, best[..., None].expand(-1, -1, -1, 4))
        torch.testing.assert_close(found, network.relation.output(picked.transpose(1, 2).flatten(2)))


@pytest.mark.parametrize(
    "options",
    [
        {"channels": [8]},
        {"channels": [8, 50]},
        {"grid": 0},
        {"blocks": 0},
        {"dropout": 1.0},
        {"att_map": "hard"},
        {"graph_topk": -1},
    ],
    ids=str,
)
def test_options_that_cannot_be(options):
    with pytest.raises(MedbenchError) as error:
        medbench.create_model("dmaf_net", num_classes=4, **options)
    assert error.value.code == "model.option"
    assert next(iter(options)) in error.value.message


@pytest.mark.slow
def test_operations_are_those_of_the_design():
    with torch.device("meta"):
        full = medbench.create_model("dmaf_net", num_classes=4).eval()
        patch = torch.empty(1, 4, 80, 80, 80)
    with FlopCounterMode(display=False) as counter:
        full(patch)
    attention = 4 * 500**2 * 4 * (32 + 32 + 32 + 64 + 128)
    assert (counter.get_total_flops() - attention) / 1e9 == pytest.approx(46.2, abs=0.05)
