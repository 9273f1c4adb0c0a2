"""Which process of a distributed training writes and reports."""

from __future__ import annotations

import os
import sys

_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""Variables in which launchers number the processes of a training, and its machines, from 0 on."""


def is_first_process() -> bool:
    """Whether this process writes and reports: the first of a distributed training, or the only one.

    Lightning knows that where it is loaded; before, the environment that the launcher made tells.
    """
    lightning = sys.modules.get("lightning.fabric.utilities.rank_zero")
    if lightning is not None:
        return not getattr(lightning.rank_zero_only, "rank", 0)
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)
