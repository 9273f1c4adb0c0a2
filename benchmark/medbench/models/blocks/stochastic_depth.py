"""Stochastic depth (arXiv 1603.09382); torchvision's would load torch's compiler, a second of each start."""

from __future__ import annotations

from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Leaves the branch of a block out for single images, at random, while a network is trained.

    What is kept is divided by its share, so that the mean stays; the numbers of the random generator are
    drawn as by torchvision's operator of that name.

    Args:
        rate: share of the images that are left out, 0 to less than 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """The branch ``(N, …)``, zero for images that are left out."""
        if not self.training or self.rate == 0:
            return branch
        keep_rate = 1.0 - self.rate
        share = (
            branch.new_empty([branch.shape[0], *[1] * (branch.ndim - 1)])
            .bernoulli_(keep_rate)
            .div_(keep_rate)
        )
        return branch * share

    def extra_repr(self) -> str:
        """The share that is left out, in the module's description."""
        return f"rate={self.rate}"
