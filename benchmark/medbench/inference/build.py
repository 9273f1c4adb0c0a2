"""Building of predictors by form of case: images, stitched patches, slides, volumes, sequences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.core.case import Case
from medbench.core.progress import Progress
from medbench.core.registry import load_object
from medbench.core.slides import SlideSettings
from medbench.core.task import Form
from medbench.inference.predictor import InputContract, NetworkPredictor, Predictor
from medbench.inference.volumes import VolumeContract, VolumePredictor

if TYPE_CHECKING:
    from torch import nn

    from medbench.challenges.exchange import Exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """Patches of slides whose probabilities are averaged where they overlap.

    Attributes:
        exchange: reads the patches and gives their positions.
        cases: all patches that may overlap.
    """

    exchange: Exchange
    cases: Sequence[Case]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorSettings:
    """Settings of a predictor.

    Attributes:
        form: form of the network's cases.
        tasks: demanded tasks in the order of the network's outputs.
        contract: preparation of images or volumes for the network; ``None`` for sequences.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
        together: whether images of several cases share batches; on accelerators alone if ``None``.
        batch_size: images, or windows of a volume, per forward pass.
        overlap: share of a volume's window that the next window repeats.
        mirror: whether to average over mirrored views of an image or of a volume's windows.
        slides: settings of slides, where cases are slides.
        patches: the patches to stitch; ``None`` stitches none.
        work: folder for unfinished slides; ``None`` takes a temporary one.
        progress: advanced by every tile of a slide.
    """

    form: Form
    tasks: tuple[str, ...]
    contract: InputContract | VolumeContract | None = None
    device: str = "cpu"
    precision: str = "fp32"
    together: bool | None = None
    batch_size: int = 1
    overlap: float = 0.5
    mirror: bool = False
    slides: SlideSettings | None = None
    patches: Patches | None = None
    work: Path | None = None
    progress: Progress | None = None


def build_predictor(network: nn.Module, settings: PredictorSettings, own: str = "") -> Predictor:
    """The predictor of a network for the form of the settings.

    Args:
        network: network with its weights.
        settings: form, tasks, contract, device and more.
        own: ``"module:callable"`` of a model's own predictor, called with the network and the settings;
            empty for the package's predictors.
    """
    if own:
        predictor: Predictor = load_object(own)(network, settings)
        return predictor
    return _BUILDERS[settings.form](network, settings)


def _images(network: nn.Module, settings: PredictorSettings) -> Predictor:
    plain = _plain(network, settings)
    if settings.patches is None:
        return plain
    from medbench.inference.stitching import StitchingPredictor

    return StitchingPredictor(plain, settings.patches.exchange, settings.patches.cases)


def _slides(network: nn.Module, settings: PredictorSettings) -> Predictor:
    from medbench.inference.slides import SlidePredictor

    assert settings.slides is not None, "slides need their settings"
    plain = _plain(network, settings)
    return SlidePredictor(plain, settings.slides, work=settings.work, progress=settings.progress)


def _volumes(network: nn.Module, settings: PredictorSettings) -> Predictor:
    assert isinstance(settings.contract, VolumeContract)
    return VolumePredictor(
        network,
        settings.contract,
        device=settings.device,
        batch_size=settings.batch_size,
        precision=settings.precision,
        overlap=settings.overlap,
        mirror=settings.mirror,
    )


def _sequences(network: nn.Module, settings: PredictorSettings) -> Predictor:
    from medbench.inference.sequences import SequencePredictor

    return SequencePredictor(
        network, tasks=settings.tasks, device=settings.device, precision=settings.precision
    )


def _plain(network: nn.Module, settings: PredictorSettings) -> NetworkPredictor:
    assert isinstance(settings.contract, InputContract)
    if settings.mirror:
        from medbench.inference.mirrored import MirroredNetwork

        network = MirroredNetwork(network)
    return NetworkPredictor(
        network,
        settings.contract,
        tasks=settings.tasks,
        device=settings.device,
        batch_size=settings.batch_size,
        precision=settings.precision,
        together=settings.together,
    )


_BUILDERS: Mapping[Form, Callable[[Any, PredictorSettings], Predictor]] = {
    "image": _images,
    "slide": _slides,
    "volume": _volumes,
    "sequence": _sequences,
}
