"""The organisers' halving of slide masks, against the function that their program calls."""

import numpy as np
import pytest
from scipy import ndimage

import medbench
from medbench.core.errors import MedbenchError
from medbench.metrics.official import kpis


@pytest.mark.parametrize("shape", [(40, 52), (41, 53), (43, 38), (2, 7), (300, 301), (3, 3)])
@pytest.mark.parametrize("band", [1, 7, 10**6])
def test_halving_in_bands_equals_the_program_s_zoom(shape, band):
    rng = np.random.default_rng(sum(shape))
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), 2)
    grey = np.where(smooth > np.median(smooth), 255, 0).astype(np.uint8)
    grey[rng.random(shape) < 0.02] = 254
    expected = ndimage.zoom(grey, 0.5, order=1) == 255
    half = kpis.halved_size(shape[0])
    parts = []
    for start in range(0, half, band):
        stop = min(half, start + band)
        first, last = kpis.halving_rows(start, stop, shape[0])
        parts.append(
            kpis.full_after_halving(grey[first:last], first_row=first, rows=(start, stop), shape=shape)
        )
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    assert 0 < expected.sum() < (grey > 127).sum() / 2 or min(shape) < 8


def test_the_rim_costs_dice_and_a_mask_of_ones_is_empty():
    reference = np.zeros((64, 64), np.uint8)
    reference[20:45, 20:45] = 255
    half = reference.reshape(32, 2, 32, 2).mean((1, 3)) > 127
    official = kpis.slide_dice_official(reference, half)
    assert 0.9 < official < 1
    assert kpis.slide_dice_official(reference, reference) == 1
    assert kpis.slide_dice_official(reference // 255, half * 0) == 1
    assert medbench.score("dice.kpis_slide.official", reference, half).value == official
    with pytest.raises(MedbenchError):
        kpis.slide_dice_official(reference, half[1:])
