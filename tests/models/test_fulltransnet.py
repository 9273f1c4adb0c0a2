import pytest
import torch

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import model_entry
from medbench.models.fulltransnet import FullTransNet, even_landmarks, even_tokens, shot_landmarks

CASES = {
    "fulltransnet": {"published": True},
    "fulltransnet_len160": {"published": True, "length": 160},
    "fulltransnet_small": {"published": True, "length": 96, "window_size": 4, "depth": [2, 2], "mlp_dim": 64},
    "fulltransnet_corrected": {},
}


@pytest.fixture(scope="module", params=CASES)
def case(request, golden, fill):
    """Facts, arrays, and the network with the golden weights in float64."""
    facts, arrays = golden(request.param)
    keys = facts if isinstance(facts["state_dict"], list) else golden("fulltransnet")[0]
    shapes = {entry["key"]: entry["shape"] for entry in [*keys["state_dict"], *keys["inner_keys"]]}
    network = medbench.create_model("fulltransnet", num_classes=1, **CASES[request.param])
    weights = medbench.official_state_dict("fulltransnet", fill(shapes), **CASES[request.param])
    network.load_state_dict(weights)
    return facts, arrays, network.double().eval()


def frames_of(facts):
    generator = torch.Generator().manual_seed(facts["input"]["seed"])
    return (torch.randn(facts["input"]["n"], 1024, generator=generator).abs() * 0.05)[None]


def test_computes_what_the_authors_program_computes(case, relative_error):
    facts, arrays, network = case
    frames = frames_of(facts)
    assert float(frames.double().sum()) == pytest.approx(float(arrays["feat_sum"]))
    landmarks = shot_landmarks(torch.from_numpy(arrays["cps"]))
    assert len(landmarks) == facts["n_global_tokens"]
    stages = {}
    hooks = [
        network.encoder[-1].register_forward_hook(lambda _, __, out: stages.update(encoder=out)),
        network.decoder[-1].register_forward_hook(lambda _, __, out: stages.update(decoder=out)),
    ]
    with torch.inference_mode():
        found = network(frames.double(), torch.from_numpy(arrays["sel"]), landmarks)
    for hook in hooks:
        hook.remove()
    count = frames.shape[1]
    assert relative_error(stages["encoder"][0, :count], arrays["enc_last"]) < 3e-6, "theirs in float32"
    assert relative_error(stages["decoder"][0], arrays["dec_last"]) < 3e-6, "theirs in float32"
    assert relative_error(found[0], arrays["out64"]) < 1e-7, "their softmax and positions are in float32"


def test_parameters_are_the_authors_less_what_they_never_use(golden):
    facts, _ = golden("fulltransnet")
    used = sum(
        torch.Size(entry["shape"]).numel() for entry in facts["state_dict"] if entry["key"][-2:] != "pe"
    )
    inner = sum(torch.Size(entry["shape"]).numel() for entry in facts["inner_keys"])
    assert used == model_entry("fulltransnet").authors_parameters
    assert model_entry("fulltransnet").counted_parameters == used - 140_608 + inner


def test_a_checkpoint_without_the_encoders_attention_is_refused(golden, fill):
    facts, _ = golden("fulltransnet")
    shapes = {entry["key"]: entry["shape"] for entry in facts["state_dict"]}
    with pytest.raises(MedbenchError, match=r"36 missing|72 missing|encoder\.0\.attention\.query"):
        medbench.official_state_dict("fulltransnet", fill(shapes))


def dense(layer, features, kinds):
    """The local and global attention by its definition, one query at a time."""
    heads, width = layer.num_heads, layer.window_size
    split = lambda project: project(features)[0].unflatten(-1, (heads, -1)).transpose(0, 1)  # noqa: E731
    query, key, value = split(layer.query), split(layer.key), split(layer.value)
    far = [split(project) for project in (layer.global_query, layer.global_key, layer.global_value)]
    rows = []
    for place in range(features.shape[1]):
        others = torch.arange(features.shape[1])
        seen = ((others - place).abs() <= width) & (kinds == 0) | (kinds == 1)
        parts = (query, key, value)
        if kinds[place] == 1:
            seen, parts = kinds >= 0, far
        scores = (parts[0][:, place, None] * parts[1][:, seen]).sum(-1) / parts[0].shape[-1] ** 0.5
        row = (scores.softmax(-1)[..., None] * parts[2][:, seen]).sum(1).flatten()
        rows.append(row if kinds[place] >= 0 else torch.zeros_like(row))
    context = torch.stack(rows)[None]
    return layer.norm(layer.output(context) + features)


@pytest.mark.parametrize("length", [1, 5, 8, 23])
@pytest.mark.parametrize("landmarks", [[], [0], [1, 4]])
def test_blocks_attend_as_the_dense_definition_says(length, landmarks):
    torch.manual_seed(length)
    network = FullTransNet(16, length=32, window_size=4, depth=(1, 1), dim=8, num_heads=2, mlp_dim=8).double()
    layer = network.encoder[0].attention.eval()
    features = torch.randn(1, length, 8, dtype=torch.float64)
    kinds = torch.zeros(length, dtype=torch.int64)
    kinds[[place for place in landmarks if place < length]] = 1
    if length > 6:
        kinds[-1] = -1
    with torch.inference_mode():
        found = layer(features, kinds, (kinds == 1).nonzero()[:, 0])
        torch.testing.assert_close(found, dense(layer, features, kinds))


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return medbench.create_model("fulltransnet.test", num_classes=1)


def test_rows_are_distributions_over_the_frames(tiny):
    frames = torch.randn(2, 50, 1024)
    with torch.inference_mode():
        found = tiny.eval()(frames)
    assert found.shape == (2, len(even_tokens(50)), 50)
    torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:2]))


@pytest.mark.parametrize("published", [False, True])
def test_backward_reaches_every_parameter(published):
    torch.manual_seed(0)
    network = medbench.create_model("fulltransnet.test", num_classes=1, published=published).train()
    network(torch.randn(1, 40, 1024), landmarks=torch.tensor([5, 9, 30])).square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any() or key.endswith("key.bias"), key


def test_frames_know_their_order_in_the_mended_form_alone():
    for published, moves in ((False, True), (True, False)):
        torch.manual_seed(0)
        network = medbench.create_model("fulltransnet.test", num_classes=1, published=published)
        layer = network.embed.eval()
        frames = torch.randn(1, 1, 1024).expand(1, 20, 1024)
        encoded = layer(frames)
        seen = {}
        network.encoder[0].register_forward_pre_hook(lambda _, inputs, seen=seen: seen.update(x=inputs[0]))
        with torch.inference_mode():
            network.eval()(frames)
        rows = seen["x"][0, :20]
        assert bool((rows[1:] != rows[:1]).any()) == moves
        assert encoded.shape == (1, 20, 32)


def test_the_last_frames_of_a_long_video_are_not_looked_at_by_the_published_form(tiny):
    network = medbench.create_model("fulltransnet.test", num_classes=1, published=True)
    kinds = network._kinds(70, torch.tensor([3]))
    assert kinds.tolist() == [0, 0, 0, 1, *[0] * 22, *[-1] * 70]
    seen = []
    network.encoder[0].attention.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2]))
    with torch.inference_mode():
        network.eval()(torch.randn(1, 70, 1024), landmarks=torch.tensor([60, 3]))
    assert seen[0].tolist() == [3]
    assert tiny._kinds(70, torch.tensor([3, 60])).bincount().tolist() == [68, 2]


def test_bfloat16_autocast(tiny):
    with torch.autocast("cpu", torch.bfloat16):
        found = tiny(torch.randn(1, 40, 1024))
    assert found.isfinite().all()


@pytest.mark.parametrize("way", ["torch.export", "torch.jit.trace"])
def test_exports(tiny, way):
    frames = torch.randn(1, 40, 1024)
    tiny.eval()
    if way == "torch.export":
        exported = torch.export.export(tiny, (frames,)).module()
    else:
        exported = torch.jit.trace(tiny, frames, check_trace=False)
    assert way in model_entry("fulltransnet").exports
    with torch.inference_mode():
        torch.testing.assert_close(exported(frames), tiny(frames))


@pytest.mark.parametrize(
    "options", [{"depth": [1]}, {"num_heads": 3}, {"window_size": 0}, {"dropout": 1.0}, {"length": 0}]
)
def test_options_that_do_not_fit_are_refused(options, assert_refused):
    with pytest.raises(MedbenchError) as caught:
        medbench.create_model("fulltransnet", num_classes=1, **options)
    assert caught.value.code == "model.option"
    assert next(iter(options)) in caught.value.message


def test_more_frames_than_the_length_are_refused(tiny):
    with pytest.raises(MedbenchError, match="97 frames are more than length=96"):
        tiny(torch.randn(1, 97, 1024))


def test_tokens_and_landmarks_are_spread_evenly():
    assert even_tokens(1).tolist() == [0]
    assert even_landmarks(1000).tolist()[:2] == [10, 31]
    assert len(even_landmarks(5000)) == 48
    assert shot_landmarks(torch.tensor([[0, 14], [15, 30]])).tolist() == [0, 1, 2]
