import hashlib
import math
import zlib

import pytest
import torch

import medbench
from medbench.core.errors import MedbenchError


def filled_state(shapes, integers=()):
    """Weights that depend on each parameter's name and shape alone; the rule stands in the golden files."""
    state = {}
    for key, shape in shapes.items():
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        if key in integers:
            state[key] = torch.zeros(shape, dtype=torch.int64)
        elif key.endswith("running_var"):
            state[key] = 1 + 0.1 * torch.rand(shape, generator=generator)
        elif len(shape) >= 2:
            state[key] = torch.randn(shape, generator=generator) * (1 / math.sqrt(math.prod(shape[1:])))
        elif key.endswith("weight"):
            state[key] = 1 + 0.1 * torch.randn(shape, generator=generator)
        else:
            state[key] = 0.1 * torch.randn(shape, generator=generator)
    return state


@pytest.fixture(scope="session", autouse=True)
def _one_thread(one_thread):
    pass


@pytest.fixture(scope="session")
def fill():
    return filled_state


@pytest.fixture(scope="session")
def assert_refused():
    """``check(model, options)``: the first option is named in the error."""

    def check(model, options):
        with pytest.raises(MedbenchError, match=r"model\.option") as caught:
            medbench.create_model(model, num_classes=2, **options)
        assert next(iter(options)) in caught.value.message

    return check


@pytest.fixture(scope="session")
def relative_error():
    def measure(value, reference):
        reference = torch.as_tensor(reference).double()
        return float((value.detach().double() - reference).norm() / reference.norm())

    return measure


@pytest.fixture(scope="session")
def compare_with_golden(relative_error):
    """``compare(network, facts, arrays, tag, names, routes)`` runs a golden case of a U-shaped network.

    ``names``: the authors' modules -> ours, for the stages; ``routes``: their routers -> our attentions.
    The golden stages are from a run in float32, outputs from one in float64.
    """

    def compare(network, facts, arrays, tag, names, routes):
        case = next(case for case in facts["cases"] if case["tag"] == tag)
        seed = int(tag.rpartition("_s")[2])
        images = torch.randn(case["input_shape"], generator=torch.Generator().manual_seed(seed))
        assert images.flatten()[:4].tolist() == case["input_first4"]
        stages, logits_of = {}, {}
        hooks = [
            network.get_submodule(names[stage["module"]]).register_forward_hook(
                lambda _, inputs, output, name=stage["module"]: stages.update({name: output})
            )
            for stage in case["intermediates"]
        ]
        hooks += [
            network.get_submodule(ours).register_forward_hook(
                lambda layer, inputs, _, name=name: logits_of.update({name: layer.routing_logits(*inputs)})
            )
            for name, ours in routes.items()
        ]
        with torch.inference_mode():
            output = network(images.double())
        for hook in hooks:
            hook.remove()

        for stage in case["intermediates"]:
            value = stages[stage["module"]]
            value = value.flatten(1, 2) if len(stage["full_shape"]) == 3 else value.permute(0, 3, 1, 2)
            assert list(value.shape) == stage["full_shape"]
            assert float(value.std()) == pytest.approx(stage["full_std"], rel=1e-6), stage["module"]
            steps = [int(step.strip(" :[]") or 1) for step in stage["saved_slice"].split(",")]
            cut = value[tuple(slice(None, None, step) for step in steps)]
            assert relative_error(cut, arrays[stage["key"]]) < 3e-6, f"{stage['module']}: theirs in float32"
        for name, logits in logits_of.items():
            key = f"{tag}/route/{name}"
            if f"{key}/logits" not in arrays:
                continue
            assert relative_error(logits, arrays[f"{key}/logits"]) < 3e-6, f"{name}: theirs in float32"
            chosen = torch.as_tensor(arrays[f"{key}/idx_sorted"]).long()
            assert torch.equal(logits.topk(chosen.shape[-1]).indices.sort(-1).values, chosen)
        steps = [int(step.strip(" :[]") or 1) for step in case["output_saved_slice"].split(",")]
        cut = output[tuple(slice(None, None, step) for step in steps)]
        assert list(output.shape) == case["output_shape"]
        assert relative_error(cut, arrays[f"{tag}/out_f64"]) < 1e-9
        assert float(output.abs().sum()) == pytest.approx(case["out64_abs_sum"], rel=1e-9)
        assert float(output.mean()) == pytest.approx(case["out64_mean"], rel=1e-9)
        return output

    return compare


@pytest.fixture
def compare_sparse_with_golden(relative_error, monkeypatch):
    """``compare(network, facts, arrays, tag, names, step)`` runs a golden case of sparse selection attention.

    ``names``: the authors' modules -> ours, for the stages; ``step``: of the stored outputs along both sides.
    """
    from medbench.models.blocks import dual_sparse_selection_attention as attention

    def compare(network, facts, arrays, tag, names, step, output_key):
        case = next(case for case in facts["cases"] if case["tag"] == tag)
        images = torch.randn(case["shape"], generator=torch.Generator().manual_seed(case["seed"]))
        assert images.flatten()[:4].tolist() == case["first"]
        routes, stages = [], {}
        choose = attention.select_regions

        def note_route(*means_and_topk):
            routes.append(choose(*means_and_topk))
            return routes[-1]

        monkeypatch.setattr(attention, "select_regions", note_route)
        hooks = [
            network.get_submodule(names[stage["module"]]).register_forward_hook(
                lambda module, inputs, output, name=name: stages.update({name: output})
            )
            for name, stage in case["stages"].items()
        ]
        with torch.inference_mode():
            output = network(images.double())
        for hook in hooks:
            hook.remove()

        for name, stage in case["stages"].items():
            value = stages[name] if name.endswith("attn") else stages[name].permute(0, 3, 1, 2)
            cut = value[tuple(slice(None, None, step) for step in stage["steps"])]
            assert relative_error(cut, arrays[f"{tag}/{name}"]) < 1e-7, f"{name}: stored as float32"
        hashes = [
            hashlib.sha256(route.sort(-1).values.numpy().tobytes()).hexdigest()[:16] for route in routes
        ]
        assert hashes == case["routing_sha256"]
        cut = output if output.ndim == 2 else output[..., ::step, ::step]
        assert relative_error(cut, arrays[f"{tag}/{output_key}"]) < 1e-9
        assert float(output.abs().sum()) == pytest.approx(case["abs_sum"], rel=1e-9)
        assert float(output.mean()) == pytest.approx(case["mean"], rel=1e-9)

    return compare
