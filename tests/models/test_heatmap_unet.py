"""The heat-map U-Net and its read-outs."""

import pytest
import torch

import medbench
from medbench.core.errors import MedbenchError
from medbench.models.blocks.heatmap_readout import READOUTS, read_out
from medbench.training.landmark_task import gaussians


def points_of(count, low=0.1, high=0.9):
    generator = torch.Generator().manual_seed(0)
    return low + (high - low) * torch.rand(count, 3, 2, generator=generator)


def test_a_gaussian_is_read_between_pixels_and_each_rule_is_better_than_the_last():
    points, (rows, columns) = points_of(50), (48, 64)
    maps = gaussians(points * torch.tensor([columns, rows]) - 0.5, (rows, columns), 2.0)
    image = torch.tensor([columns * 8.0, rows * 8.0])
    errors = {
        readout: ((read_out(maps, readout, (rows * 8, columns * 8)) - points) * image).norm(dim=-1)
        for readout in READOUTS
    }
    assert errors["subpixel"].max() < 0.02
    assert errors["centre"].max() <= 4 * 2**0.5 + 1e-3
    assert errors["official"].max() > 6
    assert errors["subpixel"].mean() < 0.01 < 2 < errors["centre"].mean() < errors["official"].mean()


def test_the_official_rule_is_the_largest_pixel_times_eight():
    maps = torch.zeros(1, 1, 64, 64)
    maps[0, 0, 5, 40] = 1
    pixels = read_out(maps, "official", (512, 512)) * 512 - 0.5
    assert pixels.tolist() == [[[320.0, 40.0]]]


@pytest.mark.parametrize("place", [(0, 0), (15, 15), (0, 15), (7, 0)])
def test_at_the_border_the_centre_is_taken(place):
    maps = torch.zeros(1, 1, 16, 16)
    maps[0, 0, place[0], place[1]] = 1.0
    assert torch.equal(read_out(maps, "subpixel", (128, 128)), read_out(maps, "centre", (128, 128)))


def test_flat_and_negative_maps_have_points():
    for maps in (torch.zeros(1, 2, 8, 8), -torch.rand(1, 2, 8, 8) - 1, torch.rand(1, 2, 8, 8) - 0.5):
        shares = read_out(maps, "subpixel", (64, 64))
        assert shares.isfinite().all()
        assert shares.min() >= 0
        assert shares.max() <= 1


def test_maps_have_an_eighth_of_the_sides_in_training_and_points_come_out_otherwise():
    network = medbench.create_model("heatmap_unet.test", num_classes=3)
    assert network.train()(torch.rand(2, 3, 96, 64)).shape == (2, 3, 12, 8)
    shares = network.eval()(torch.rand(2, 3, 50, 70))
    assert shares.shape == (2, 3, 2)


def test_the_full_network_has_the_starting_kits_layers():
    with torch.device("meta"):
        network = medbench.create_model("heatmap_unet", num_classes=3)
        assert network.train()(torch.empty(1, 3, 512, 512)).shape == (1, 3, 64, 64)
    widths = [encoder[0].out_channels for encoder in network.encoders]
    assert widths == [64, 128, 256, 512, 1024]
    assert all(layer[0].bias is not None for layer in network.encoders)


def test_options_that_do_not_exist_are_refused():
    for options in ({"readout": "soft"}, {"base_features": 0}):
        with pytest.raises(MedbenchError):
            medbench.create_model("heatmap_unet.test", num_classes=3, **options)
