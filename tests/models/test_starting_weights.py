"""Files that a network starts from: what is no checkpoint ends in one line with a code."""

import pytest
import torch
from safetensors.torch import save_file

from medbench.core.errors import MedbenchError
from medbench.models.starting_weights import read_parameters


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "weights.corrupt"),
        (b"PK\x03\x04 cut", "weights.corrupt"),
        (b"\x89PNG\r\n\x1a\n", "weights.not_a_state_dict"),
        ([torch.zeros(2)], "weights.not_a_state_dict"),
        ({"state_dict": {"conv.weight": 3}}, "weights.not_a_state_dict"),
    ],
    ids=["empty", "cut", "an image", "a list", "numbers"],
)
def test_what_is_no_checkpoint_is_named(tmp_path, content, code):
    path = tmp_path / "encoder.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(MedbenchError, match=r"encoder\.pth") as refused:
        read_parameters(path, "--set encoder_weights")
    assert refused.value.code == code


def test_files_of_safetensors_start_a_network_as_those_of_torch_do(tmp_path):
    parameters = {"conv.weight": torch.arange(4.0).reshape(2, 2), "conv.bias": torch.ones(2)}
    save_file(parameters, tmp_path / "model.safetensors")
    torch.save({"state_dict": parameters, "epoch": 3}, tmp_path / "model.pth")
    torch.save({"model": parameters}, tmp_path / "wrapped.pth")
    for name in ("model.safetensors", "model.pth", "wrapped.pth"):
        read = read_parameters(tmp_path / name, "--set pretrained_weights")
        assert read.keys() == parameters.keys()
        assert all(torch.equal(read[key], tensor) for key, tensor in parameters.items())
