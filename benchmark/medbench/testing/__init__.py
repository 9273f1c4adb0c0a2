"""The contract that our models, challenges, metrics and platforms pass in the suite, and anybody's can.

Call the function for your kind in a test of your own: ``check_model("my/net")``.
"""

from __future__ import annotations

from medbench.testing.challenges import check_challenge
from medbench.testing.contract import ContractError
from medbench.testing.metrics import check_metric
from medbench.testing.models import check_model
from medbench.testing.platforms import check_platform

__all__ = ["ContractError", "check_challenge", "check_metric", "check_model", "check_platform"]
