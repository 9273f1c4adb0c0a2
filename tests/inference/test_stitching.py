"""Overlapping patches of a slide: every patch counts once, and zones between tiles follow a Hann window."""

from types import SimpleNamespace

import numpy as np
import pytest

from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.slides import SlideSettings
from medbench.inference.map_rows import MapRows
from medbench.inference.stitching import StitchingPredictor
from medbench.inference.tiles import ONE, tile_grid

SIDE = 8


class Known:
    """Stands for a network: every patch has one probability in 255ths, the same at all its pixels."""

    def __init__(self, values):
        self.values, self.time_s = values, {}

    def foreground(self, images):
        return np.full((1, SIDE, SIDE), self.values[int(images.ravel()[0])], np.uint8)


def stitched(values, places, broken=()):
    """The labels of the first of several patches of one slide."""
    cases = [Case(f"p{index}", {}, group="slide") for index in range(len(values))]
    cases.append(Case("elsewhere", {}, group="another slide"))

    def read(case):
        if case.id in broken:
            raise MedbenchError("image.damaged", f"{case.id}: is damaged.")
        number = len(values) - 1 if case.id == "elsewhere" else int(case.id[1:])
        return SimpleNamespace(case=case, images=np.full((1, 1, 1, 1), number))

    positions = {case.id: place for case, place in zip(cases, [*places, places[0]], strict=True)}
    exchange = SimpleNamespace(
        patch_position=lambda case: positions[case.id], inputs={"image": SimpleNamespace(read=read)}
    )
    predictor = StitchingPredictor(Known(values), exchange, cases)
    return predictor.predict(read(cases[0])).answers["label_map"][0]


@pytest.mark.parametrize(
    ("own", "other", "label"),
    [
        (255, 0, 0), (255, 1, 1), (0, 255, 0), (1, 255, 1),
        (200, 54, 0), (200, 56, 1), (100, 154, 0), (100, 156, 1),
    ],
)  # fmt: skip
def test_two_patches_count_alike_where_they_overlap(own, other, label):
    labels = stitched([own, other], [(0, 0), (0, SIDE // 2)])
    assert (labels[:, : SIDE // 2] == (own > 127)).all()
    assert (labels[:, SIDE // 2 :] == label).all()


@pytest.mark.parametrize(("third", "label"), [(127, 0), (128, 1)])
def test_three_patches_have_a_third_each(third, label):
    labels = stitched([255, 0, third], [(0, 0), (0, 4), (4, 4)])
    assert (labels[4:, 4:] == label).all()
    assert (labels[:4, 4:] == 0).all()
    assert (labels[4:, :4] == 1).all()


def test_a_neighbour_that_cannot_be_read_and_one_of_another_slide_do_not_count():
    assert (stitched([255, 0], [(0, 0), (0, 4)], broken=("p1",)) == 1).all()
    assert (stitched([255, 0], [(0, 0), (0, SIDE)]) == 1).all()


@pytest.mark.parametrize("blend", [1, 2, 31, 64, 200])
def test_zones_between_tiles_follow_a_hann_window(blend):
    grid = tile_grid((2000, 2000), SlideSettings(patch_px=512, margin_px=32, blend_px=blend, tissue=0), None)
    along, places = grid.weights(1, 4), (np.arange(grid.blend) + 0.5) / grid.blend
    hann = ONE * (1 - np.cos(np.pi * places)) / 2
    np.testing.assert_allclose(along[: grid.blend], hann, atol=0.5 + 1e-9)
    np.testing.assert_allclose(along[-grid.blend :], hann[::-1], atol=0.5 + 1e-9)
    assert (along[grid.blend : -grid.blend] == ONE).all()
    assert (grid.weights(0, 4)[: grid.blend] == ONE).all()
    assert (grid.weights(3, 4)[-grid.blend :] == ONE).all()


def test_a_tile_counts_by_its_weights_along_both_sides(tmp_path):
    settings = SlideSettings(patch_px=128, margin_px=0, blend_px=32, tissue=0)
    grid = tile_grid((400, 400), settings, None)
    rows = MapRows(tmp_path, grid, "a slide")
    rows.end_row()
    tile = np.full((grid.span, grid.span), 200, np.uint8)
    rows.add(tile[None], [1])
    sums = rows._sums
    down, across = grid.weights(1, grid.counts[0]), grid.weights(1, grid.counts[1])
    expected = np.zeros_like(sums)
    expected[:, grid.step : grid.step + grid.span] = 200 * np.outer(down, across)
    np.testing.assert_array_equal(sums, expected)
    assert len(np.unique(sums)) > 100
