"""Prepared 8-bit images are, to the bit, what the formula gives for their values one by one."""

import numpy as np
import pytest

from medbench.inference.predictor import InputContract

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("scale", [255.0, 1.0, 127.5])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize(("stored", "channels"), [(3, 3), (1, 3), (1, 1)])
def test_bytes_are_prepared_as_the_formula_says(scale, order, stored, channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 18, stored), np.uint8)
    images[0, 0, :, 0] = np.arange(18) * 15
    contract = InputContract(None, order, scale, MEAN, STD, channels=channels)
    shown = np.repeat(images, 3, axis=-1) if (stored, channels) == (1, 3) else images
    shown = shown[..., ::-1] if order == "BGR" and channels == 3 else shown
    numbers = [np.array(values[:channels], np.float32) for values in (MEAN, STD)]
    expected = (shown.astype(np.float32) / np.float32(scale) - numbers[0]) / numbers[1]
    planes = contract.prepare(images)
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    assert np.array_equal(planes, expected.transpose(0, 3, 1, 2))
    assert np.array_equal(contract.prepare(images.astype(np.uint16)), planes)


def test_images_that_keep_their_shape_are_filled_with_zeros():
    image = np.random.default_rng(0).integers(1, 256, (1, 12, 16, 3), np.uint8)
    planes = InputContract(16, mean=MEAN, std=STD, padded=True).prepare(image)
    assert planes.shape == (1, 3, 16, 16)
    assert not planes[:, :, 12:].any()
    assert np.array_equal(planes[:, :, :12], InputContract(None, mean=MEAN, std=STD).prepare(image))
