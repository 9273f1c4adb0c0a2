"""medbench: medical-imaging models and challenges behind one interface; importing it is light."""

from __future__ import annotations

TYPE_CHECKING = False
"""True for type checkers: ``typing`` itself takes longer to import than all that follows."""

if TYPE_CHECKING:
    from typing import Any

    from medbench.challenges import list_challenges, load_challenge, register_challenge
    from medbench.core.errors import MedbenchError
    from medbench.core.score import Score
    from medbench.core.task import register_task
    from medbench.metrics import list_metrics, register_metric, score
    from medbench.models import create_model, list_models, official_state_dict, register_model
    from medbench.running.evaluate import evaluate
    from medbench.running.predict import predict
    from medbench.running.predictors import load_predictor
    from medbench.running.run import run
    from medbench.running.train import train
    from medbench.submissions.platforms import register_platform

_API = {
    "MedbenchError": "medbench.core.errors",
    "Score": "medbench.core.score",
    "create_model": "medbench.models",
    "evaluate": "medbench.running.evaluate",
    "list_challenges": "medbench.challenges",
    "list_metrics": "medbench.metrics",
    "list_models": "medbench.models",
    "load_challenge": "medbench.challenges",
    "load_predictor": "medbench.running.predictors",
    "official_state_dict": "medbench.models",
    "predict": "medbench.running.predict",
    "register_challenge": "medbench.challenges",
    "register_metric": "medbench.metrics",
    "register_model": "medbench.models",
    "register_platform": "medbench.submissions.platforms",
    "register_task": "medbench.core.task",
    "run": "medbench.running.run",
    "score": "medbench.metrics",
    "train": "medbench.running.train",
}

__all__ = [
    "MedbenchError",
    "Score",
    "create_model",
    "evaluate",
    "list_challenges",
    "list_metrics",
    "list_models",
    "load_challenge",
    "load_predictor",
    "official_state_dict",
    "predict",
    "register_challenge",
    "register_metric",
    "register_model",
    "register_platform",
    "register_task",
    "run",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        return version("medbench")
    if name not in _API:
        raise AttributeError(f"module 'medbench' has no attribute {name!r}")
    return getattr(importlib.import_module(_API[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
