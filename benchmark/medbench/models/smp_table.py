"""Cards of the architectures of segmentation-models-pytorch; a test compares them with the library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from medbench.models.entry import ModelEntry, ModelOption

_HELP = {
    "encoder": "any encoder of the library, or tu-NAME for one of timm",
    "encoder_weights": "path of a local checkpoint of the encoder; nothing is ever downloaded",
    "encoder_depth": "stages of the encoder",
    "encoder_output_stride": "input pixels per pixel of the deepest map",
    "encoder_output_indices": "transformer layers whose tokens are used",
    "decoder_use_norm": "batchnorm, instancenorm, layernorm, identity, or a table of type and arguments",
    "decoder_channels": "decoder channels, from the deepest; with another depth the last ones apply",
    "decoder_attention_type": "scse for attention in the decoder",
    "decoder_interpolation": "how maps are enlarged",
    "decoder_pab_channels": "channels of the position-wise attention",
    "decoder_pyramid_channels": "channels of the pyramid",
    "decoder_segmentation_channels": "channels of the segmentation branch",
    "decoder_merge_policy": "add or cat",
    "decoder_dropout": "rate of spatial dropout",
    "psp_out_channels": "channels after the pyramid pooling",
    "psp_dropout": "rate of spatial dropout",
    "decoder_atrous_rates": "dilations of the pooling",
    "decoder_aspp_separable": "separable convolutions in the pooling",
    "decoder_aspp_dropout": "rate of dropout after the pooling",
    "decoder_readout": "what becomes of the class token: ignore, add or cat",
    "decoder_intermediate_channels": "channels of the reassembled maps",
    "decoder_fusion_channels": "channels of the fusion",
}
_WIDTHS = (256, 128, 64, 32, 16)
_NORM = {"decoder_use_norm": "batchnorm"}
_RATES = (12, 24, 36)


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture of the library.

    Attributes:
        title: usual name of the architecture.
        paper_title: title of the paper.
        arxiv: arXiv number of the paper.
        doi: DOI of the paper, where it has no arXiv number.
        parameters: counted with the default options, 3 channels and 2 classes.
        options: keyword of the library's constructor -> its default.
        encoder: the library's default encoder.
        alias: another common name of the architecture.
    """

    title: str
    paper_title: str
    arxiv: str
    parameters: int
    options: dict[str, Any] = field(default_factory=dict)
    doi: str = ""
    encoder: str = "resnet34"
    alias: str = ""


ARCHITECTURES = {
    "unet": Architecture(
        "U-Net",
        "U-Net: Convolutional Networks for Biomedical Image Segmentation",
        "1505.04597",
        24_436_514,
        {
            "encoder_depth": 5,
            **_NORM,
            "decoder_channels": _WIDTHS,
            "decoder_attention_type": None,
            "decoder_interpolation": "nearest",
        },
    ),
    "unetplusplus": Architecture(
        "U-Net++",
        "UNet++: A Nested U-Net Architecture for Medical Image Segmentation",
        "1807.10165",
        26_078_754,
        {
            "encoder_depth": 5,
            **_NORM,
            "decoder_channels": _WIDTHS,
            "decoder_attention_type": None,
            "decoder_interpolation": "nearest",
        },
        alias="unet++",
    ),
    "manet": Architecture(
        "MA-Net",
        "MA-Net: A Multi-Scale Attention Network for Liver and Tumor Segmentation",
        "",
        31_783_778,
        {
            "encoder_depth": 5,
            **_NORM,
            "decoder_channels": _WIDTHS,
            "decoder_pab_channels": 64,
            "decoder_interpolation": "nearest",
        },
        doi="10.1109/ACCESS.2020.3025372",
    ),
    "linknet": Architecture(
        "LinkNet",
        "LinkNet: Exploiting Encoder Representations for Efficient Semantic Segmentation",
        "1707.03718",
        21_771_970,
        {"encoder_depth": 5, **_NORM},
    ),
    "fpn": Architecture(
        "FPN",
        "Panoptic Feature Pyramid Networks",
        "1901.02446",
        23_155_522,
        {
            "encoder_depth": 5,
            "decoder_pyramid_channels": 256,
            "decoder_segmentation_channels": 128,
            "decoder_merge_policy": "add",
            "decoder_dropout": 0.2,
            "decoder_interpolation": "nearest",
        },
    ),
    "pspnet": Architecture(
        "PSPNet",
        "Pyramid Scene Parsing Network",
        "1612.01105",
        21_442_594,
        {"encoder_depth": 3, **_NORM, "psp_out_channels": 512, "psp_dropout": 0.2},
    ),
    "pan": Architecture(
        "PAN",
        "Pyramid Attention Network for Semantic Segmentation",
        "1805.10180",
        21_476_105,
        {
            "encoder_depth": 5,
            "encoder_output_stride": 16,
            "decoder_channels": 32,
            "decoder_interpolation": "bilinear",
        },
    ),
    "deeplabv3": Architecture(
        "DeepLabV3",
        "Rethinking Atrous Convolution for Semantic Image Segmentation",
        "1706.05587",
        26_007_362,
        {
            "encoder_depth": 5,
            "encoder_output_stride": 8,
            "decoder_channels": 256,
            "decoder_atrous_rates": _RATES,
            "decoder_aspp_separable": False,
            "decoder_aspp_dropout": 0.5,
        },
    ),
    "deeplabv3plus": Architecture(
        "DeepLabV3+",
        "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
        "1802.02611",
        22_437_714,
        {
            "encoder_depth": 5,
            "encoder_output_stride": 16,
            "decoder_channels": 256,
            "decoder_atrous_rates": _RATES,
            "decoder_aspp_separable": True,
            "decoder_aspp_dropout": 0.5,
        },
        alias="deeplabv3+",
    ),
    "upernet": Architecture(
        "UPerNet",
        "Unified Perceptual Parsing for Scene Understanding",
        "1807.10221",
        29_599_938,
        {"encoder_depth": 5, "decoder_channels": 256, **_NORM},
    ),
    "segformer": Architecture(
        "SegFormer",
        "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers",
        "2105.15203",
        21_876_802,
        {"encoder_depth": 5, "decoder_segmentation_channels": 256},
    ),
    "dpt": Architecture(
        "DPT",
        "Vision Transformers for Dense Prediction",
        "2103.13413",
        137_806_677,
        {
            "encoder_depth": 4,
            "encoder_output_indices": None,
            "decoder_readout": "cat",
            "decoder_intermediate_channels": (256, 512, 1024, 1024),
            "decoder_fusion_channels": 256,
        },
        encoder="tu-vit_base_patch16_224.augreg_in21k",
    ),
}


def smp_entries() -> Iterator[ModelEntry]:
    """A card for every architecture; ``smp/unet++`` and ``smp/deeplabv3+`` bear their usual names."""
    for name, architecture in ARCHITECTURES.items():
        options = {"encoder": architecture.encoder, "encoder_weights": None, **architecture.options}
        yield ModelEntry(
            name=f"smp/{architecture.alias or name}",
            title=f"{architecture.title} (SMP)",
            factory="medbench.models.smp:smp_network",
            offers={"label_map": "num_classes", "image_classes": "num_image_classes"},
            family="smp",
            aliases=(f"smp/{name}",) if architecture.alias else (),
            paper_title=architecture.paper_title,
            arxiv=architecture.arxiv,
            doi=architecture.doi,
            counted_parameters=architecture.parameters,
            code="qubvel-org/segmentation_models.pytorch",
            code_license="MIT",
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            size_divisor=32,
            min_size=128 if name == "pan" else 1,
            size_rule="any; the bottom and right are padded to the encoder's stride by repeating the edge, "
            "and cropped back",
            options={key: ModelOption(value, _HELP[key]) for key, value in options.items()},
            fixed_options={"architecture": name},
            notes="The library's implementation, which differs from the papers in details; weights are its "
            "initial ones unless encoder_weights or a checkpoint is given.",
        )
