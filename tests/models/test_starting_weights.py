"""Files that a network starts from: what is no checkpoint ends in one line with a code."""

import pytest
import torch

from medbench.core.errors import MedbenchError
from medbench.models.starting_weights import read_parameters


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "weights.corrupt"),
        (b"PK\x03\x04 cut", "weights.corrupt"),
        (None, "weights.not_a_state_dict"),
    ],
    ids=["empty", "cut", "a list"],
)
def test_what_is_no_checkpoint_is_named(tmp_path, content, code):
    path = tmp_path / "encoder.pth"
    if content is None:
        torch.save([torch.zeros(2)], path)
    else:
        path.write_bytes(content)
    with pytest.raises(MedbenchError, match=r"encoder\.pth") as refused:
        read_parameters(path, "--set encoder_weights")
    assert refused.value.code == code
