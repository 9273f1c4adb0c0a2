import importlib
import itertools
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import model_entry
from medbench.models.blocks.channels_last import resize
from medbench.models.blocks.dual_sparse_selection_attention import AttentionBlock
from medbench.models.blocks.multi_scale_linear_attention import LinearAttention, MultiScaleLinearAttention
from medbench.models.mslau_net import LocalBlock, MSLAUNet, official_keys

OUR_NAMES = {
    "encoder.patch_embed1": "embeddings.0",
    "encoder.blocks1.3": "encoder.0.3",
    "encoder.blocks2.7": "encoder.1.7",
    "encoder.patch_embed3": "embeddings.2",
    "encoder.blocks3.0.attn": "encoder.2.0.attention",
    "encoder.blocks3.0": "encoder.2.0",
    "encoder.blocks3.10": "encoder.2.10",
    "encoder.blocks4.4": "encoder.3.4",
    "conv_mla.mla_p2": "lifts.2",
    "conv_mla.mla_p4_3x3": "smooth.1",
    "seg": "segmentation_head",
}


def cut(tensor, steps):
    return tensor[tuple(slice(None, None, step) for step in steps)]


def authors_state(golden, fill, tag):
    facts, arrays = golden("mslau_net")
    case = next(case for case in facts["cases"] if case["tag"] == tag)
    shapes = dict(facts["state_dict"])
    shapes["seg.weight"], shapes["seg.bias"] = [case["num_classes"], 256, 3, 3], [case["num_classes"]]
    return case, arrays, fill(shapes, facts["integers"])


@pytest.fixture(scope="module")
def authors(golden, fill):
    return authors_state(golden, fill, "synapse")[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tag", "grad"),
    [
        ("synapse", False),
        ("cvc", True),
        *(pytest.param(*one, marks=pytest.mark.exhaustive) for one in (("synapse", True), ("cvc", False))),
    ],
)
def test_computes_what_the_authors_program_computes(tag, grad, golden, fill, relative_error):
    case, arrays, state = authors_state(golden, fill, tag)
    network = medbench.create_model("mslau_net", num_classes=case["num_classes"])
    network.load_state_dict(medbench.official_state_dict("mslau_net", state))
    network.double().eval()
    images = torch.randn(case["shape"], generator=torch.Generator().manual_seed(case["seed"]))
    assert images.flatten()[:4].tolist() == case["first"]

    stages = {}
    hooks = [
        network.get_submodule(ours).register_forward_hook(
            lambda module, inputs, output, name=theirs: stages.update({name: output.detach()})
        )
        for theirs, ours in OUR_NAMES.items()
    ]
    heads = []
    hooks += [
        head.register_forward_hook(lambda m, i, output: heads.append(output.detach()))
        for head in network.heads
    ]
    with torch.set_grad_enabled(grad):
        logits = network(images.double()).detach()
    for hook in hooks:
        hook.remove()
    joined = torch.cat(heads, dim=-1)
    stages["mlahead"] = resize(joined, 2 * joined.shape[1], 2 * joined.shape[2], align_corners=True)

    assert set(stages) == set(case["stages"])
    for name, stage in case["stages"].items():
        value = stages[name]
        if name.endswith(".attn"):
            value = value.flatten(1, 2)
        elif name != "seg":
            value = value.permute(0, 3, 1, 2)
        assert list(value.shape) == stage["shape"]
        assert float(value.mean()) == pytest.approx(stage["mean"], abs=1e-6 * stage["std"]), name
        assert float(value.std()) == pytest.approx(stage["std"], rel=1e-6), name
        assert relative_error(cut(value, stage["steps"]), arrays[f"{tag}/{name}"]) < 3e-6, name
    assert relative_error(cut(logits, case["output_steps"]), arrays[f"{tag}/out_f64"]) < 1e-11
    assert float(logits.abs().sum()) == pytest.approx(case["abs_sum"], rel=1e-11)
    assert float(logits.mean()) == pytest.approx(case["mean"], rel=1e-11)


def operator(name):
    """The authors' operator as one of ours, and its view of the input."""
    if name == "linear_attention":
        return LinearAttention(16, 4), lambda x: x.flatten(2)
    if name == "msla":
        return MultiScaleLinearAttention(32, 2), lambda x: x.unflatten(1, (6, 6))
    if name == "gfe":
        block = AttentionBlock(64, MultiScaleLinearAttention(64, 1), 4)
        return block, lambda x: x.permute(0, 2, 3, 1)
    return LocalBlock(16), lambda x: x.permute(0, 2, 3, 1)


def our_operator_names(name, state):
    """Our names of an operator's parameters, by the table for the network."""
    place = {
        "linear_attention": ("encoder.blocks3.0.attn.linear_attention.", "encoder.2.0.attention.attention."),
        "msla": ("encoder.blocks3.0.attn.", "encoder.2.0.attention."),
        "gfe": ("encoder.blocks3.0.", "encoder.2.0."),
        "lfe": ("encoder.blocks1.0.", "encoder.0.0."),
    }[name]
    renamed = official_keys({place[0] + key: value for key, value in state.items()})
    return {key.removeprefix(place[1]): value for key, value in renamed.items()}


@pytest.mark.parametrize("grad", [False, True], ids=["inference", "gradient"])
@pytest.mark.parametrize("name", ["linear_attention", "msla", "gfe", "lfe"])
def test_single_operators_are_the_authors(name, grad, golden, fill, relative_error):
    facts, arrays = golden("mslau_ops")
    case = next(case for case in facts["cases"] if case["op"] == name)
    integers = [key for key in case["state_dict"] if key.endswith("num_batches_tracked")]
    layer, view = operator(name)
    layer.load_state_dict(our_operator_names(name, fill(case["state_dict"], integers)))
    layer.double().eval()
    inputs = torch.randn(case["shape"], generator=torch.Generator().manual_seed(0)).double()
    with torch.set_grad_enabled(grad):
        output = layer(view(inputs))
    reference = view(torch.as_tensor(arrays[f"{name}/output"]))
    assert output.shape == reference.shape
    assert relative_error(output, reference) < 1e-12


def test_has_the_authors_parameters_without_the_unused_ones(golden, authors):
    case = golden("mslau_net")[0]["cases"][0]
    assert len(authors) == case["entries"] == 757
    with torch.device("meta"):
        network = medbench.create_model("mslau_net", num_classes=9)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == case["parameters"] - 1537 == model_entry("mslau_net").counted_parameters


def test_authors_weights_for_other_channels_and_classes_load(authors):
    state = dict(authors)
    state["encoder.patch_embed1.proj.weight"] = torch.zeros(64, 4, 4, 4)
    state["seg.weight"], state["seg.bias"] = torch.zeros(5, 256, 3, 3), torch.zeros(5)
    network = medbench.create_model("mslau_net", in_channels=4, num_classes=5)
    network.load_state_dict(medbench.official_state_dict("mslau_net", state))


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (lambda s: s.pop("seg.bias"), "weights.mismatch", "segmentation_head.bias"),
        (lambda s: s.update({"decoder.0": torch.zeros(1)}), "weights.unknown_keys", "decoder.0"),
        (
            lambda s: s.update({"encoder.blocks1.0.new": torch.zeros(1)}),
            "weights.mismatch",
            "encoder.0.0.new",
        ),
        (
            lambda s: s.update({"mlahead.head2.0.weight": torch.zeros(64, 64, 1, 1)}),
            "weights.mismatch",
            "heads.0.conv.weight (64, 64, 1, 1)",
        ),
    ],
    ids=["missing", "unknown", "unknown in a known place", "shape"],
)
def test_wrong_checkpoints_are_refused_by_name(authors, change, code, named):
    state = dict(authors)
    change(state)
    with pytest.raises(MedbenchError) as caught:
        medbench.official_state_dict("mslau_net", state)
    assert caught.value.code == code
    assert named in caught.value.message


def test_padding_is_that_of_zeros_at_the_bottom_and_right():
    network = medbench.create_model("mslau_net.test", num_classes=2).eval()
    images = torch.randn(1, 3, 75, 100)
    padded = torch.zeros(1, 3, 96, 128)
    padded[..., :75, :100] = images
    with torch.inference_mode():
        torch.testing.assert_close(network(images), network(padded)[..., :75, :100])


def test_grey_images_are_repeated_for_three_channels():
    network = medbench.create_model("mslau_net.test", num_classes=2).eval()
    images = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(images), network(images.repeat(1, 3, 1, 1)))


def test_folding_the_norms_does_not_change_the_function():
    torch.manual_seed(0)
    network = medbench.create_model("mslau_net.test", num_classes=2, drop_path=0.0).double().train()
    images = torch.randn(2, 3, 64, 64).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(images)
        batch_statistics = network(images)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                count = module.last_count
                module.running_var.mul_((count - 1) / count)
        network.eval()
        torch.testing.assert_close(network(images), batch_statistics, rtol=1e-9, atol=1e-9)


@pytest.fixture(autouse=True)
def count_values(monkeypatch):
    """Notes how many values a batch norm saw last: its running variance is the unbiased one."""
    forward = nn.BatchNorm2d.forward

    def noting(module, inputs):
        module.last_count = inputs.numel() // inputs.shape[1]
        return forward(module, inputs)

    monkeypatch.setattr(nn.BatchNorm2d, "forward", noting)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("raw_view", "mixed_heads", "exchanged_softmax"),
    [
        # every pair of settings once; the other half with --full
        pytest.param(*one, marks=[] if sum(one) % 2 else [pytest.mark.exhaustive])
        for one in itertools.product([True, False], repeat=3)
    ],
)
def test_attention_has_right_gradients(raw_view, mixed_heads, exchanged_softmax):
    torch.manual_seed(0)
    layer = MultiScaleLinearAttention(
        16,
        2,
        (1, 3),
        raw_view=raw_view,
        mixed_heads=mixed_heads,
        exchanged_softmax=exchanged_softmax,
    ).double()
    features = torch.randn(1, 2, 3, 16, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def run(features, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (features,))

    assert gradcheck(run, (features, *layer.parameters()))


def straightforward_attention(layer, images):
    """Efficient attention (Shen et al.) as its paper writes it, on ``(N, C, H, W)``."""
    parts = []
    for part, conv, scale in zip(images.chunk(len(layer.convs), 1), layer.convs, layer.scales, strict=True):
        tokens = torch.relu(part + conv(part)).flatten(2).mT
        queries, keys, values = layer.attention.qkv(tokens).chunk(3, dim=-1)
        heads = []
        for query, key, value in zip(
            *(t.chunk(layer.attention.heads, dim=-1) for t in (queries, keys, values)), strict=True
        ):
            heads.append(torch.einsum("nta,nsa,nsb->ntb", query.softmax(-1), key.softmax(1), value))
        parts.append(scale * layer.attention.output(torch.cat(heads, -1)).mT.reshape(part.shape))
    return layer.output(torch.cat(parts, 1))


def test_switched_off_oddities_leave_the_attention_of_the_formulas():
    torch.manual_seed(0)
    layer = MultiScaleLinearAttention(
        32, 4, raw_view=False, mixed_heads=False, exchanged_softmax=False
    ).double()
    nn.init.normal_(layer.scales)
    nn.init.normal_(layer.attention.qkv.weight)
    features = torch.randn(2, 5, 7, 32).double()
    with torch.no_grad():
        expected = straightforward_attention(layer, features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        torch.testing.assert_close(layer(features), expected)
        for option in ("raw_view", "mixed_heads", "exchanged_softmax"):
            other = MultiScaleLinearAttention(
                32, 4, **{"raw_view": False, "mixed_heads": False, "exchanged_softmax": False, option: True}
            ).double()
            other.load_state_dict(layer.state_dict())
            assert not torch.allclose(other(features), expected), option


@pytest.mark.parametrize("image_head", ["segmentation", "encoder"])
def test_no_parameter_is_dead_but_the_authors_own(image_head):
    torch.manual_seed(0)
    network = medbench.create_model(
        "mslau_net.test", num_classes=3, num_image_classes=2, drop_path=0.0, image_head=image_head
    ).double()
    logits, image_logits = network(torch.randn(2, 3, 128, 96).double())
    weights = torch.randn_like(logits)
    ((logits * weights).mean() + (image_logits * torch.randn_like(image_logits)).mean()).backward()
    largest = {name: float(p.grad.abs().max()) for name, p in network.named_parameters()}
    dead = [name for name, value in largest.items() if value < 1e-12]
    behind_nothing_but_a_norm = ["encoder.3.0.mlp.2.bias"]
    assert dead == (behind_nothing_but_a_norm if image_head == "segmentation" else [])


def test_gradient_of_the_network_is_that_of_finite_differences():
    torch.manual_seed(0)
    network = medbench.create_model("mslau_net.test", num_classes=2, drop_path=0.0).double().eval()
    images = torch.randn(1, 3, 64, 64).double()
    parameters = dict(network.named_parameters())
    direction = {
        name: torch.randn_like(p) * p.detach().abs().mean().clamp(min=1e-3) for name, p in parameters.items()
    }

    def loss(step):
        moved = {name: p + step * direction[name] for name, p in parameters.items()}
        return torch.func.functional_call(network, moved, (images,)).square().mean()

    loss(0.0).backward()
    slope = sum(float((p.grad * direction[name]).sum()) for name, p in parameters.items())
    with torch.no_grad():
        measured = float(loss(1e-6) - loss(-1e-6)) / 2e-6
    assert slope == pytest.approx(measured, rel=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"embed_dim": (64, 128, 256)},
        {"depth": (4, 8, 11)},
        {"local_stages": 5},
        {"head_dim": 48},
        {"head_dim": 2},
        {"kernel_sizes": (3, 4)},
        {"kernel_sizes": ()},
        {"decoder_dim": 32},
        {"image_head": "decoder"},
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(options, assert_refused):
    assert_refused("mslau_net", options)


@pytest.mark.parametrize("local_stages", [0, 1, 3, 4])
def test_other_arrangements_of_local_and_attention_stages(local_stages):
    network = medbench.create_model(
        "mslau_net.test", num_classes=2, local_stages=local_stages, head_dim=16
    ).eval()
    kinds = [isinstance(stage[0], LocalBlock) for stage in network.encoder]
    assert kinds == [level < local_stages for level in range(4)]
    with torch.inference_mode():
        assert network(torch.randn(1, 3, 32, 64)).shape == (1, 2, 32, 64)


def test_initial_weights_follow_the_authors():
    torch.manual_seed(0)
    network = MSLAUNet()
    linears = [block.mlp[i].weight.detach().flatten() for block in network.encoder[2] for i in (0, 2)]
    assert float(torch.cat(linears).std()) == pytest.approx(0.02, rel=0.01)
    qkv = torch.cat([block.attention.attention.qkv.weight.detach().flatten() for block in network.encoder[3]])
    assert float(qkv.std()) == pytest.approx(0.02, rel=0.01)
    expand = network.encoder[0][0].expand.weight.detach()
    assert float(expand.abs().max()) == pytest.approx(64**-0.5, rel=0.01), "a convolution's uniform start"
    assert network.encoder[2][0].norm1.eps == 1e-6
    assert network.embeddings[2].norm.eps == 1e-5
    assert not any(
        isinstance(module, nn.Linear) and module.bias is not None and module.bias.any()
        for module in network.modules()
    )


def test_the_plain_implementation_of_the_benchmark_computes_the_same(monkeypatch, relative_error):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "speed")
    plain = importlib.import_module("models_plain_mslau")
    torch.manual_seed(0)
    sizes = {"embed_dim": (16, 32, 64, 64), "depth": (1, 1, 2, 1), "head_dim": 32}
    theirs = plain.PlainMSLAUNet(num_classes=4, **sizes).double().eval()
    ours = medbench.create_model("mslau_net.test", num_classes=4).double().eval()
    nn.init.normal_(theirs.encoder["blocks3"][0].attn.scale_weights)
    ours.load_state_dict(official_keys(theirs.state_dict()))
    images = torch.randn(2, 3, 64, 64).double()
    with torch.inference_mode():
        assert relative_error(ours(images), theirs(images)) < 1e-12
