"""Cards of timm's classifiers: some well-known ones, and any other by its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from medbench.models.entry import ModelEntry, ModelOption

PREFIX = "timm/"

OPTIONS = {
    "drop_rate": ModelOption(None, "rate of dropout before the classifier; the library's own if not given"),
    "drop_path_rate": ModelOption(
        None,
        "largest rate of left-out residual branches, of networks that have them; the library's own if not "
        "given",
    ),
    "pretrained_weights": ModelOption(
        None, "path of a local checkpoint, its classifier left out; nothing is ever downloaded"
    ),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A network that listings show.

    Attributes:
        title: its usual name.
        paper_title: of the paper.
        arxiv: number of the paper.
        parameters: counted with 3 channels and 1,000 classes.
    """

    title: str
    paper_title: str
    arxiv: str
    parameters: int


LISTED = {
    "resnet18": Listed("ResNet-18", "Deep Residual Learning for Image Recognition", "1512.03385", 11_689_512),
    "resnet50": Listed("ResNet-50", "Deep Residual Learning for Image Recognition", "1512.03385", 25_557_032),
    "densenet121": Listed(
        "DenseNet-121", "Densely Connected Convolutional Networks", "1608.06993", 7_978_856
    ),
    "mobilenetv3_small_100": Listed(
        "MobileNetV3 small", "Searching for MobileNetV3", "1905.02244", 2_542_856
    ),
    "efficientnet_b0": Listed(
        "EfficientNet-B0",
        "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        "1905.11946",
        5_288_548,
    ),
    "convnext_tiny": Listed("ConvNeXt-T", "A ConvNet for the 2020s", "2201.03545", 28_589_128),
    "deit_small_patch16_224": Listed(
        "DeiT-S",
        "Training data-efficient image transformers & distillation through attention",
        "2012.12877",
        22_050_664,
    ),
    "swin_tiny_patch4_window7_224": Listed(
        "Swin-T",
        "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
        "2103.14030",
        28_288_354,
    ),
}


def timm_entries() -> Iterator[ModelEntry]:
    """Cards of the networks that listings show."""
    for name, facts in LISTED.items():
        yield _entry(name, facts)


def timm_entry(architecture: str) -> ModelEntry:
    """The card of any network of the library.

    Raises:
        MedbenchError: ``model.unknown`` with the nearest names.
    """
    from medbench.models.timm import check_architecture

    check_architecture(architecture)
    return _entry(architecture, LISTED.get(architecture))


def _entry(name: str, facts: Listed | None) -> ModelEntry:
    return ModelEntry(
        name=PREFIX + name,
        title=f"{facts.title if facts else name} (timm)",
        factory="medbench.models.timm:timm_network",
        offers={"image_classes": "num_classes"},
        family="timm",
        recipe_family="image_classes",
        paper_title=facts.paper_title if facts else "",
        arxiv=facts.arxiv if facts else "",
        code="huggingface/pytorch-image-models",
        code_license="Apache-2.0",
        image_size=224,
        min_size=32,
        num_classes=1000,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        counted_parameters=facts.parameters if facts else None,
        size_rule="any; networks of a fixed size resize their input to it",
        options={
            "architecture": ModelOption(name, "the library's name, which the model's name gives"),
            **OPTIONS,
        },
        fixed_options={"architecture": name},
        notes="Any other network of the library goes by timm/NAME. Inputs are normalised as ImageNet's, "
        "whatever the library's own weights had; weights are its initial ones unless pretrained_weights or a "
        "checkpoint is given.",
    )
