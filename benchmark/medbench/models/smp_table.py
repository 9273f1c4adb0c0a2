"""The architectures of segmentation-models-pytorch as model cards; a test holds the table against the library."""

from __future__ import annotations

from collections.abc import Iterator

from medbench.models.entry import ModelEntry

ARCHITECTURES = {
    "unet": ("U-Net", "Ronneberger et al., arXiv 1505.04597"),
    "unetplusplus": ("U-Net++", "Zhou et al., arXiv 1807.10165"),
    "manet": ("MA-Net", "Fan et al., IEEE Access 2020, doi 10.1109/ACCESS.2020.3025372"),
    "linknet": ("LinkNet", "Chaurasia and Culurciello, arXiv 1707.03718"),
    "fpn": ("FPN", "Kirillov et al., arXiv 1901.02446"),
    "pspnet": ("PSPNet", "Zhao et al., arXiv 1612.01105"),
    "pan": ("PAN", "Li et al., arXiv 1805.10180"),
    "deeplabv3": ("DeepLabV3", "Chen et al., arXiv 1706.05587"),
    "deeplabv3plus": ("DeepLabV3+", "Chen et al., arXiv 1802.02611"),
    "upernet": ("UPerNet", "Xiao et al., arXiv 1807.10221"),
    "segformer": ("SegFormer", "Xie et al., arXiv 2105.15203"),
    "dpt": ("DPT", "Ranftl et al., arXiv 2103.13413"),
}
ALIASES = {"unet++": "unetplusplus", "deeplabv3+": "deeplabv3plus"}


def smp_entries() -> Iterator[ModelEntry]:
    """A card for every architecture and alias."""
    for name in (*ARCHITECTURES, *ALIASES):
        architecture = ALIASES.get(name, name)
        title, paper = ARCHITECTURES[architecture]
        encoder = "tu-vit_base_patch16_224.augreg_in21k" if architecture == "dpt" else "resnet34"
        yield ModelEntry(
            name=f"smp/{name}",
            title=f"{title} (SMP)",
            factory="medbench.models.smp:smp_network",
            tasks=("segmentation", "image classification"),
            family="smp",
            paper=paper,
            code="qubvel-org/segmentation_models.pytorch",
            code_license="MIT",
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            size_rule="any; padded to the encoder's stride and cropped back",
            options={"encoder": encoder, "encoder_depth": None, "encoder_weights": None},
            fixed_options={"architecture": architecture},
            notes="encoder_weights is a local checkpoint of the encoder; nothing is downloaded.",
        )
