"""Energy of forward passes, measured by codecarbon."""

from __future__ import annotations

import time
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.profiling.workload import Workload


def measure_energy(workload: Workload, seconds: float) -> dict[str, Any]:
    """Joules per sample over forward passes of ``seconds`` in all; nothing is sent or written.

    Where the processor's counters cannot be read, codecarbon estimates from its nominal power; ``method``
    says which, and an estimate does not rank models.

    Raises:
        MedbenchError: ``profile.no_codecarbon``.
    """
    try:
        from codecarbon import OfflineEmissionsTracker
    except ImportError as error:
        raise MedbenchError(
            "profile.no_codecarbon", "codecarbon is not installed.", "pip install 'medbench[energy]'"
        ) from error
    call = workload.forward_pass()
    call()
    tracker = OfflineEmissionsTracker(
        country_iso_code="DEU", measure_power_secs=1, save_to_file=False, log_level="critical"
    )
    tracker.start()
    passes = 0
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or passes == 0:
        call()
        passes += 1
    if workload.device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(workload.device)
    tracker.stop()
    data = tracker.final_emissions_data
    joules = 3.6e6 * data.energy_consumed
    return {
        "joules_per_sample": joules / (passes * workload.batch),
        "samples": passes * workload.batch,
        "cpu_share": data.cpu_energy / data.energy_consumed if data.energy_consumed else None,
        "method": f"codecarbon {data.codecarbon_version}, whole machine, {data.cpu_model}",
    }
