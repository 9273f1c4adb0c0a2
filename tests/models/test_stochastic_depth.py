"""Stochastic depth leaves out what torchvision's does, and networks load without torchvision."""

import subprocess
import sys

import pytest
import torch

from medbench.models.blocks.stochastic_depth import StochasticDepth


@pytest.mark.parametrize("shape", [(8, 5), (6, 4, 3, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_seed_leaves_out_the_same_images(shape, dtype):
    from torchvision.ops import StochasticDepth as Peer

    branch = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    for rate in (0.0, 0.3, 0.9):
        torch.manual_seed(7)
        due = Peer(rate, "row").train()(branch)
        torch.manual_seed(7)
        own = StochasticDepth(rate).train()(branch)
        assert torch.equal(own, due)
        assert StochasticDepth(rate).eval()(branch) is branch
    assert (own.flatten(1) == 0).all(1).any()


def test_networks_start_without_torchs_compiler():
    program = (
        "import sys, medbench\n"
        "for model in ('dssau_net.test', 'mslau_net.test'):\n"
        "    medbench.create_model(model, in_channels=3, num_classes=2)\n"
        "print(*sorted({'torchvision', 'torch._dynamo', 'sympy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
