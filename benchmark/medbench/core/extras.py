"""Optional packages, and the extra of ``pip install 'medbench[…]'`` that brings each."""

from __future__ import annotations

import importlib.util

from medbench.core.errors import MedbenchError

_EXTRAS = {
    "torch": "models", "torchvision": "models", "timm": "models", "segmentation_models_pytorch": "models",
    "safetensors": "models", "lightning": "training", "monai": "training", "av": "video",
    "tifffile": "slides", "imagecodecs": "slides", "SimpleITK": "resampling", "nnunetv2": "nnunet",
    "matplotlib": "plots", "onnx": "export", "onnxruntime": "export", "onnxscript": "export",
    "pandas": "notebook", "distributed": "cluster",
}  # fmt: skip


def require_package(name: str) -> None:
    """Refuse to go on where a package is not installed; nothing is imported.

    Raises:
        MedbenchError: ``package.missing``, with the command that installs it.
    """
    if importlib.util.find_spec(name) is None:
        raise missing_package(name)


def missing_package(module: str) -> MedbenchError:
    """The error for a module that could not be imported, with the command that installs its package."""
    name = module.partition(".")[0]
    extra = _EXTRAS.get(name)
    return MedbenchError(
        "package.missing",
        f"This needs the package {name}, which is not installed.",
        f"pip install 'medbench[{extra}]'" if extra else f"pip install {name}",
    )
