import pytest
import torch

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import model_entry


def authors_state(facts, fill):
    shapes = {entry["key"]: entry["shape"] for entry in facts["state_dict"]}
    return fill(shapes, [key for key in shapes if key.endswith("num_batches_tracked")])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "golden_name", "key", "step"),
    [("cm_cgns", "cmcgns_unet", "logits64_ds2", 2), ("cm_cgns.setr", "cmcgns_setr", "logits64_ds4", 4)],
)
def test_computes_what_the_authors_program_computes(
    name, golden_name, key, step, golden, fill, relative_error
):
    facts, arrays = golden(golden_name)
    network = medbench.create_model(name, num_classes=1)
    network.load_state_dict(medbench.official_state_dict(name, authors_state(facts, fill)))
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = network.double().eval()(images.double())
    assert relative_error(logits[..., ::step, ::step], arrays[key]) < 1e-9
    assert sum(p.numel() for p in network.parameters()) == model_entry(name).authors_parameters


@pytest.mark.parametrize(("name", "part"), [("cm_cgns", "decoder."), ("cm_cgns.setr", "projection.")])
def test_incomplete_and_other_checkpoints_are_refused(name, part, golden, fill):
    facts, _ = golden({"cm_cgns": "cmcgns_unet", "cm_cgns.setr": "cmcgns_setr"}[name])
    state = authors_state(facts, fill)
    gone = "final_dense" if part == "projection." else "decoder."
    with pytest.raises(MedbenchError, match=part):
        medbench.official_state_dict(name, {key: value for key, value in state.items() if gone not in key})
    with pytest.raises(MedbenchError) as caught:
        medbench.official_state_dict(name, {**state, "backbone.weight": torch.zeros(1)})
    assert caught.value.code == "weights.unknown_keys"


@pytest.mark.parametrize(
    "options",
    [{"image_size": 100}, {"depth": 0}, {"num_heads": 5}, {"decoder_channels": [8, 8]}, {"image_head": "x"}],
)
def test_options_that_do_not_fit_are_refused(options, assert_refused):
    assert_refused("cm_cgns.test", options)


def test_the_transformer_sees_one_size_and_answers_in_any():
    torch.manual_seed(0)
    network = medbench.create_model("cm_cgns.test", num_classes=2).eval()
    seen = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-2:]))
    with torch.inference_mode():
        assert network(torch.randn(1, 3, 50, 90)).shape == (1, 2, 50, 90)
        assert network(torch.randn(1, 3, 64, 64)).shape == (1, 2, 64, 64)
    assert seen == [(64, 64), (64, 64)]
