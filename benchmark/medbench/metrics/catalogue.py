"""Every metric that medbench knows, by id. Others join through the entry-point group ``medbench.metrics``."""

from __future__ import annotations

from medbench.core.registry import Registry
from medbench.metrics.convention import Convention
from medbench.metrics.masks.catalogue import MASK_METRICS
from medbench.metrics.official.catalogue import OFFICIAL_METRICS
from medbench.metrics.tasks.catalogue import TASK_METRICS

METRICS: Registry[Convention] = Registry("metric")

for _convention in (*MASK_METRICS, *OFFICIAL_METRICS, *TASK_METRICS):
    METRICS.add(_convention.id, _convention)
