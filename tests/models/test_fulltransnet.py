import itertools
import math

import pytest
import torch

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import model_entry
from medbench.models.blocks.local_global_attention import LocalGlobalAttention
from medbench.models.fulltransnet import (
    draw_inner_attention,
    frame_scores,
    further_inputs,
    global_frames_of,
    uniform_frames,
)
from medbench.profiling.cost import count_cost

CASES = ("published", "small", "length_160", "corrected")


@pytest.fixture(scope="module")
def authors(golden, fill):
    facts, arrays = golden("fulltransnet")

    def state_of(case):
        shapes = dict(facts["parameters"][case["parameters"]])
        length = case["options"]["length"]
        shapes["projection.weight"] = [length, 64]
        state = fill({key: shape for key, shape in shapes.items() if not key.endswith(".pe")})
        table = medbench.create_model("fulltransnet", num_classes=1, length=length).positions
        stored = torch.from_numpy(arrays["positions"])[:length]
        assert float((table[0, : len(stored)] - stored).abs().max()) < 2e-5, "float32 at position 120"
        table[0, : len(stored)] = stored
        return state | {"encoder.position_embeddings.pe": table, "decoder.position_embeddings.pe": table}

    return facts, arrays, state_of


def inputs_of(case, arrays, tag):
    generator = torch.Generator().manual_seed(case["seed"])
    frames = torch.randn(case["n"], 1024, generator=generator).abs() * 0.05
    assert frames[0, :8].tolist() == arrays[f"{tag}/first_features"].tolist()
    chosen = torch.from_numpy(arrays[f"{tag}/sel"])
    return frames[None].double(), frames[chosen][None].double()


@pytest.mark.parametrize("tag", CASES)
def test_computes_what_the_authors_program_computes(tag, authors, relative_error):
    facts, arrays, state_of = authors
    case = facts["cases"][tag]
    network = medbench.create_model("fulltransnet", num_classes=1, **case["options"])
    ours = medbench.official_state_dict("fulltransnet", state_of(case), **case["options"])
    network.load_state_dict(ours)
    network = network.double().eval()
    frames, features = inputs_of(case, arrays, tag)
    global_frames = global_frames_of(torch.from_numpy(arrays[f"{tag}/cps"]).long())
    assert len(global_frames) == case["n_global_frames"]
    with torch.inference_mode():
        output = network(frames, features, global_frames[None])
        repeated = torch.from_numpy(arrays[f"{tag}/global_idx"]).long() // 15
        assert len(repeated) > len(global_frames)
        again = network(frames, features, repeated[None])
    assert relative_error(output[0], arrays[f"{tag}/out64"]) < 1e-9
    torch.testing.assert_close(again, output, rtol=1e-9, atol=1e-15)


def test_the_forms_differ(authors, relative_error):
    _, arrays, _ = authors
    assert relative_error(torch.from_numpy(arrays["corrected/out64"]), arrays["published/out64"]) > 0.1


def test_has_the_authors_parameters_without_the_unused_and_with_the_unsaved(authors):
    shapes = authors[0]["parameters"]["full"]
    registered = sum(
        math.prod(shape) for key, shape in shapes.items() if ".inner." not in key and not key.endswith(".pe")
    )
    unused = 1024 * 64 + 64 + 2 * 64 + 6 * 3 * (64 * 64 + 64)
    drawn_anew = 6 * 6 * (64 * 64 + 64)
    assert (registered, unused, drawn_anew) == (3_678_848, 140_608, 149_760)
    entry = model_entry("fulltransnet")
    assert entry.authors_parameters == registered
    assert entry.counted_parameters == registered - unused + drawn_anew


def test_a_file_as_their_program_saves_it_lacks_the_attention(authors):
    facts, _, state_of = authors
    case = facts["cases"]["small"]
    saved = {key: tensor for key, tensor in state_of(case).items() if ".inner." not in key}
    with pytest.raises(MedbenchError) as caught:
        medbench.official_state_dict("fulltransnet", saved, **case["options"])
    assert caught.value.code == "weights.never_saved"
    assert "draw_inner_attention" in caught.value.hint
    drawn = [draw_inner_attention(saved, seed) for seed in (0, 0, 1)]
    ours = [medbench.official_state_dict("fulltransnet", state, **case["options"]) for state in drawn]
    key = "encoder.1.attention.global_value.weight"
    assert torch.equal(ours[0][key], ours[1][key])
    assert not torch.equal(ours[0][key], ours[2][key])
    assert not torch.equal(ours[0][key], ours[0]["encoder.0.attention.global_value.weight"])


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (lambda s: s.pop("decoder.layers.1.pos_ffn.fc.2.weight"), "weights.mismatch", "decoder.1.ffn.reduce"),
        (lambda s: s.update({"backbone.0": torch.zeros(1)}), "weights.unknown_keys", "backbone.0"),
        (lambda s: s.update({"projection.weight": torch.zeros(7, 64)}), "weights.mismatch", "head.weight (7"),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_wrong_checkpoints_are_refused_by_name(authors, change, code, named):
    facts, _, state_of = authors
    case = facts["cases"]["small"]
    state = state_of(case)
    change(state)
    with pytest.raises(MedbenchError) as caught:
        medbench.official_state_dict("fulltransnet", state, **case["options"])
    assert caught.value.code == code
    assert named in caught.value.message


def dense_attention(layer, tokens, global_frames, n_seen):
    """The same by its definition, query by query."""
    n, heads = tokens.shape[1], layer.heads

    def split(part):
        return part(tokens)[0].unflatten(-1, (heads, -1))

    query, key, value = split(layer.query), split(layer.key), split(layer.value)
    g_query, g_key, g_value = (split(getattr(layer, f"global_{part}")) for part in ("query", "key", "value"))
    chosen = set(global_frames[0].tolist())
    seen = range(n if n_seen is None else min(n, int(n_seen)))
    rows = []
    for i in range(n):
        if i not in seen:
            rows.append(torch.zeros_like(query[0]))
            continue
        is_global = i in chosen
        keys = [j for j in seen if is_global or abs(i - j) <= layer.window or j in chosen]
        q, k, v = (g_query, g_key, g_value) if is_global else (query, key, value)
        weights = (torch.einsum("hd,jhd->hj", q[i], k[keys]) / math.sqrt(8)).softmax(-1)
        rows.append(torch.einsum("hj,jhd->hd", weights, v[keys]))
    context = torch.stack(rows).flatten(1)
    if layer.memory_order:
        context = context.T.contiguous().view(context.shape)
    return layer.norm(layer.output(context) + tokens[0])[None]


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 13, 29])
@pytest.mark.parametrize("n_seen", [None, 1, 7])
@pytest.mark.parametrize("scrambled", [False, True])
def test_blocks_attend_as_the_definition_says(n, n_seen, scrambled):
    torch.manual_seed(n)
    layer = LocalGlobalAttention(16, 4, 4, 0.0, memory_order=scrambled).double()
    tokens = torch.randn(1, n, 16).double()
    global_frames = torch.tensor([[0, n // 2, n // 2, n - 1]])
    counted = None if n_seen is None else torch.tensor([[n_seen]])
    with torch.no_grad():
        expected = dense_attention(layer, tokens, global_frames, n_seen)
        torch.testing.assert_close(layer(tokens, global_frames, counted), expected, rtol=1e-12, atol=1e-12)


def build(name="fulltransnet.test", **options):
    torch.manual_seed(0)
    return medbench.create_model(name, num_classes=1, **options)


def tiny_inputs(n=1, n_frames=50, features=1024):
    frames = torch.randn(n, n_frames, features, generator=torch.Generator().manual_seed(1))
    return frames, *further_inputs(frames)


def dead_parameters(network, inputs):
    """Names of parameters whose gradient is zero but for rounding; of the head only the rows in use."""
    frames, features, global_frames = inputs
    output = network.double().eval()(frames.double(), features.double(), global_frames)
    (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    gradients = {key: parameter.grad for key, parameter in network.named_parameters()}
    gradients["head.weight"] = gradients["head.weight"][: frames.shape[1]]
    assert all(gradient is not None for gradient in gradients.values())
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    rows = gradients["head.weight"].abs().amax(dim=1)
    assert float(rows.min()) > 1e-12 * largest
    return {key for key, gradient in gradients.items() if float(gradient.abs().max()) < 1e-12 * largest}


def key_biases(network):
    """They shift all scores of a query alike, which the softmax takes out again."""
    return {key for key, _ in network.named_parameters() if key.endswith("key.bias")}


def test_no_parameter_is_dead_in_the_corrected_form():
    network = build(encoder_layers=2, decoder_layers=2)
    assert dead_parameters(network, tiny_inputs()) == key_biases(network)


def test_in_the_published_form_projections_of_masked_global_frames_are_dead():
    short = build(encoder_layers=2, decoder_layers=2, form="published")
    assert dead_parameters(short, tiny_inputs(n_frames=50)) == key_biases(short)
    network = build(encoder_layers=2, decoder_layers=2, form="published", length=60)
    frames, features, _ = tiny_inputs(n_frames=50)
    dead = dead_parameters(network, (frames, features, torch.tensor([[10, 20, 49]])))
    masked = {key for key, _ in network.named_parameters() if ".attention.global_" in key}
    assert dead == key_biases(network) | masked, (
        "the mask ends after 60 - 50 frames, before the first of them"
    )


def test_videos_of_a_batch_do_not_meet():
    network = build().eval()
    inputs = tiny_inputs(3)
    inputs = (*inputs[:2], torch.tensor([[0, 7, 9], [1, 1, 40], [49, 3, 2]]))
    with torch.inference_mode():
        together = network(*inputs)
        assert together.shape == (3, 8, 50)
        torch.testing.assert_close(together.sum(-1), torch.ones(3, 8))
        for i in range(3):
            torch.testing.assert_close(network(*(part[i : i + 1] for part in inputs)), together[i : i + 1])


def test_the_decoder_looks_at_earlier_tokens_only():
    network = build().eval()
    frames, features, chosen = tiny_inputs()
    changed = features.clone()
    changed[:, -1] += 1
    with torch.inference_mode():
        before, after = network(frames, features, chosen), network(frames, changed, chosen)
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert not torch.equal(before[:, -1], after[:, -1])


def test_the_corrected_form_does_not_depend_on_the_length_that_it_allows():
    short, long = build(length=64).eval(), build(length=200).eval()
    state = long.state_dict()
    state["head.weight"], state["positions"] = state["head.weight"][:64], state["positions"][:, :64]
    short.load_state_dict(state)
    with torch.inference_mode():
        assert torch.equal(short(*tiny_inputs()), long(*tiny_inputs()))


def test_dropout_ends_with_training():
    network, inputs = build(), tiny_inputs()
    with torch.no_grad():
        assert not torch.equal(network.train()(*inputs), network(*inputs))
        assert torch.equal(network.eval()(*inputs), network(*inputs))


def worked_out_macs(n, s, g, dim=64, ffn=2048, window=16, layers=6, features=1024):
    """By hand: projections, scores and values of every layer, perceptrons, embedding and head."""
    padded = -(-n // window) * window
    projections = 6 * n * dim**2 + g * dim**2
    local_global = 2 * padded * (3 * window + g) * dim + 2 * g * n * dim
    encoder = projections + local_global + 2 * n * dim * ffn
    self_attention = 4 * s * dim**2 + 2 * s * s * dim
    cross_attention = 2 * (s + n) * dim**2 + 2 * s * n * dim
    decoder = self_attention + cross_attention + 2 * s * dim * ffn
    return (n + s) * features * dim + layers * (encoder + decoder) + s * n * dim


def fixed_inputs(frames):
    """Forty decoder tokens and thirty global frames, however long the video."""
    return frames[:, :40], torch.arange(30).expand(len(frames), -1)


@pytest.mark.parametrize("n_frames", [300, 1200])
def test_operations_are_those_worked_out_by_hand(n_frames):
    cost = count_cost(build("fulltransnet"), (1, n_frames, 1024), further=further_inputs, activations=False)
    n_globals = 3 * n_frames // 20
    assert cost.macs == worked_out_macs(n_frames, round(0.15 * n_frames), n_globals)
    assert (cost.way, cost.uncounted) == ("shapes", {})


def test_the_card_tells_the_cost_of_what_predicts():
    """With a summary's share of the frames in the decoder, and with all of them, as it predicts."""
    network = build("fulltransnet")
    every = lambda frames: (frames, further_inputs(frames)[1])  # noqa: E731
    for further, decoder_frames in ((further_inputs, 180), (every, 1200)):
        cost = count_cost(network, (1, 1200, 1024), further=further, activations=False)
        assert cost.macs == worked_out_macs(1200, decoder_frames, 180)
        assert f"{cost.macs / 1e9:.2f} GMACs" in model_entry("fulltransnet").cost_note


@pytest.mark.slow
def test_cost_is_linear_in_the_frames_for_a_given_summary_and_global_frames():
    """In every layer, so that one each of the encoder and the decoder tells it."""
    network = build("fulltransnet", length=4096, encoder_layers=1, decoder_layers=1)
    costs = [count_cost(network, (1, n, 1024), further=fixed_inputs) for n in (1024, 2048, 3072, 4096)]
    for figures in ([cost.macs for cost in costs], [cost.activation_bytes for cost in costs]):
        steps = [after - before for before, after in itertools.pairwise(figures)]
        assert min(steps) > 0
        assert max(steps) - min(steps) < 1e-4 * min(steps)


@pytest.mark.parametrize(
    "options",
    [
        {"heads": 5},
        {"form": "official"},
        {"window": 0},
        {"length": 0},
        {"dim": 63, "heads": 9},
        {"dropout": 1.0},
        {"encoder_layers": 0},
        {"num_classes": 2},
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(options):
    with pytest.raises(MedbenchError, match=r"model\.option") as caught:
        medbench.create_model("fulltransnet", **{"num_classes": 1, **options})
    assert next(iter(options)) in caught.value.message


def test_more_frames_than_the_length_are_refused():
    with pytest.raises(MedbenchError, match="300 frames and 45 decoder tokens, but length=256"):
        build()(*tiny_inputs(n_frames=300))


@pytest.mark.parametrize("case", [1, 6])
def test_scores_are_read_as_in_the_authors_evaluation(case, golden):
    _, arrays = golden("vsumm_eval")
    scores = frame_scores(torch.from_numpy(arrays[f"c{case}_out"]))
    assert torch.equal(scores, torch.from_numpy(arrays[f"c{case}_pred"]))


def test_frames_for_the_decoder_are_spread_evenly():
    assert uniform_frames(1).tolist() == [0]
    frames = uniform_frames(1000)
    assert len(frames) == 150
    assert set(frames.diff().tolist()) == {6, 7}
    assert float(frames.double().mean()) == pytest.approx(499.5, abs=1)


def test_weights_survive_a_file(tmp_path):
    network = build().eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    other = medbench.create_model("fulltransnet.test", num_classes=1).eval()
    with torch.inference_mode():
        assert not torch.equal(network(*tiny_inputs()), other(*tiny_inputs()))
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert torch.equal(network(*tiny_inputs()), other(*tiny_inputs()))


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_bfloat16_autocast(training):
    network, inputs = build(dropout=0.0).train(training), tiny_inputs()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(*inputs)
    assert float(((output - network(*inputs)).norm() / output.norm()).detach()) < 0.05
    output.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_bound_on_global_frames_takes_them_evenly_and_all_where_there_are_fewer():
    torch.manual_seed(0)
    exact = medbench.create_model("fulltransnet.test", num_classes=1).eval()
    frames = torch.randn(1, 40, exact.embedding.hidden.in_features)
    shots = torch.arange(1, 40, 3)[None]

    def encoded(most, global_frames):
        network = medbench.create_model("fulltransnet.test", num_classes=1, most_global_frames=most).eval()
        network.load_state_dict(exact.state_dict())
        return network.encode(frames, global_frames)

    with torch.inference_mode():
        whole = exact.encode(frames, shots)
        assert torch.equal(encoded(shots.shape[1], shots), whole)
        bounded = encoded(4, shots)
        assert torch.equal(bounded, exact.encode(frames, shots[:, [1, 4, 8, 11]]))
        assert not torch.equal(bounded, whole)


def test_a_bound_on_the_decoders_frames_scores_the_others_as_the_nearest():
    torch.manual_seed(0)
    exact = medbench.create_model("fulltransnet.test", num_classes=1).eval()
    frames = torch.randn(1, 40, exact.embedding.hidden.in_features)
    shots = torch.arange(1, 40, 3)[None]

    def scores(most):
        network = medbench.create_model("fulltransnet.test", num_classes=1, most_decoder_frames=most).eval()
        network.load_state_dict(exact.state_dict())
        return network.frame_scores(frames, frames, shots)

    with torch.inference_mode():
        whole = exact.frame_scores(frames, frames, shots)
        assert torch.equal(scores(40), whole)
        bounded = scores(4)
        places = torch.tensor([5, 15, 25, 35])
        tokens = exact.summary_tokens(frames, frames, shots, places)
        given = frame_scores(exact.distribution(tokens, 40))[:, places]
    assert torch.equal(bounded, given.repeat_interleave(torch.tensor([11, 10, 10, 9]), dim=1))
    assert bounded.unique().numel() == 4
    assert not torch.equal(bounded, whole)


def test_a_token_of_the_decoder_keeps_its_own_position():
    """Untrained, a frame points at itself, also where the decoder is given few."""
    network = medbench.create_model("fulltransnet.test", num_classes=1).eval()
    with torch.no_grad():
        for layer in network.decoder:
            for parameter in layer.parameters():
                parameter.mul_(1e-3)
        places = torch.tensor([3, 17, 31])
        frames = torch.zeros(1, 40, network.embedding.hidden.in_features)
        whole = network.summary_tokens(frames, frames, torch.tensor([[0]]))
        few = network.summary_tokens(frames, frames, torch.tensor([[0]]), places)
    torch.testing.assert_close(few, whole[:, places], rtol=1e-3, atol=1e-3)


def test_a_bound_below_zero_is_refused():
    with pytest.raises(MedbenchError, match="most_decoder_frames=-1 is negative"):
        medbench.create_model("fulltransnet.test", num_classes=1, most_decoder_frames=-1)
    with pytest.raises(MedbenchError, match="most_global_frames=-1 is negative"):
        medbench.create_model("fulltransnet.test", num_classes=1, most_global_frames=-1)
