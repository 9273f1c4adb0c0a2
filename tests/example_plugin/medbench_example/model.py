"""A network of two convolutions for label maps."""

from medbench.models import ModelEntry, ModelOption


def make(in_channels, num_classes, width=8):
    """Images (N, in_channels, H, W) to logits (N, num_classes, H, W)."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, num_classes, 1)
    )


ENTRY = ModelEntry(
    "example/net",
    "ExampleNet",
    factory="medbench_example.model:make",
    in_channels=3,
    image_size=32,
    size_divisor=1,
    min_size=8,
    options={"width": ModelOption(8, "channels between the convolutions")},
)
