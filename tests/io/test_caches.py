"""Kept arrays are checked when they are read, and made anew for other content."""

import os

import cv2
import numpy as np

from medbench.io import caches, eight_bit


def test_every_edit_of_a_kept_array_is_noticed(tmp_path):
    rng = np.random.default_rng(0)
    right = rng.integers(0, 256, (8, 9, 3)).astype(np.uint8)
    kept = tmp_path / "a.npy"
    made = []

    def make():
        made.append(1)
        return right

    assert np.array_equal(caches.cached_array(kept, make), right)
    whole = kept.read_bytes()
    for index in range(200):
        bad = bytearray(whole)
        at = int(rng.integers(len(bad)))
        if index % 4 == 0:
            bad = bad[:at]
        elif index % 4 == 1:
            bad += rng.bytes(3)
        else:
            bad[at] ^= 1 << int(rng.integers(8))
        kept.write_bytes(bad)
        assert np.array_equal(caches.cached_array(kept, make, memory_map=index % 2 == 0), right)
    assert len(made) == 201
    assert np.array_equal(caches.cached_array(kept, make), right)
    assert len(made) == 201
    assert kept.read_bytes() == whole


def test_content_decides_and_not_size_and_time(tmp_path):
    path, cache = tmp_path / "a.png", tmp_path / "cache"
    cv2.imwrite(str(path), np.zeros((20, 20, 3), np.uint8))
    before = os.stat(path)
    assert eight_bit.resized_image(path, 8, cache).max() == 0
    content = bytearray(path.read_bytes())
    cv2.imwrite(str(path), np.full((20, 20, 3), 7, np.uint8))
    other = path.read_bytes()
    path.write_bytes(other + bytes(max(0, len(content) - len(other))))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert eight_bit.resized_image(path, 8, cache).min() == 7
