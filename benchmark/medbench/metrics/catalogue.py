"""Every metric that medbench knows, by id. Others join through the entry-point group ``medbench.metrics``."""

from __future__ import annotations

from medbench.core.errors import MedbenchError
from medbench.core.registry import Registry
from medbench.metrics.convention import Convention
from medbench.metrics.definition_check import check_definition
from medbench.metrics.masks.catalogue import MASK_METRICS
from medbench.metrics.official.catalogue import OFFICIAL_METRICS
from medbench.metrics.tasks.catalogue import TASK_METRICS


class MetricRegistry(Registry[Convention]):
    """Id -> definition; what an entry point names is imported and checked when it is asked for."""

    def __init__(self) -> None:
        super().__init__("metric")
        self._checked: set[str] = set()

    def add(self, name: str, value: Convention | str) -> None:
        """Register a definition; one of the same function replaces the one before, as in a file read twice.

        Raises:
            MedbenchError: ``metric.clash``, naming both origins, when the id is taken by another function.
        """
        present = self._targets.get(name)
        if _again(present, value):
            self._targets[name] = value
        else:
            super().add(name, value)

    def get(self, name: str) -> Convention:
        """The definition behind an id.

        Raises:
            MedbenchError: ``metric.unknown`` with the nearest ids; ``metric.definition`` for an entry point
                that cannot be imported or names no complete definition.
        """
        try:
            convention = super().get(name)
        except (ImportError, AttributeError) as error:
            raise MedbenchError(
                "metric.definition",
                f"The metric '{name}' of {self._targets[name]} cannot be imported: {error}.",
                "Repair or uninstall the package that announces it.",
            ) from error
        if name not in self._checked:
            check_definition(convention, name)
            self._checked.add(name)
        return convention

    @staticmethod
    def _origin(value: object) -> str:
        return value.origin if isinstance(value, Convention) else Registry._origin(value)


def _again(present: object, value: object) -> bool:
    """Whether two definitions have the same function, as when a plug-in's file is read twice."""
    if not isinstance(present, Convention) or not isinstance(value, Convention):
        return False
    return callable(value.target) and present.origin == value.origin


METRICS = MetricRegistry()

for _convention in (*MASK_METRICS, *OFFICIAL_METRICS, *TASK_METRICS):
    METRICS.add(_convention.id, _convention)
