"""Every metric that medbench knows, by id. Others join through the entry-point group ``medbench.metrics``."""

from __future__ import annotations

from medbench.core.registry import Registry
from medbench.metrics.catalogue_lesions import LESION_METRICS
from medbench.metrics.catalogue_masks import MASK_METRICS
from medbench.metrics.catalogue_tasks import TASK_METRICS
from medbench.metrics.conventions import Convention

METRICS: Registry[Convention] = Registry("metric")

for _convention in (*MASK_METRICS, *LESION_METRICS, *TASK_METRICS):
    METRICS.add(_convention.id, _convention)
