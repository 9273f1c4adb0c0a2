"""Files of abdominal CT: as TransUNet prepared them (.npz, .h5), and as BTCV released them (NIfTI)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medbench.challenges.families.sliced_volumes.files import check_prepared, stacked
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io import hdf5, images, nifti_mha
from medbench.io.gate.listing import check_alone
from medbench.io.gate.meaning import unknown_labels

LABEL_OF_BTCV = {1: 1, 2: 2, 3: 3, 4: 4, 5: 0, 6: 5, 7: 6, 8: 7, 9: 0, 10: 0, 11: 8, 12: 0, 13: 0}
WINDOW_HU = (-125.0, 275.0)


def read_case_image(path: Path) -> Volume:
    """CT as ``(slices, height, width)`` float32 from 0 to 1.

    Prepared files are taken as they are; NIfTI files are clipped to −125 … 275 HU and scaled.

    Raises:
        MedbenchError: when the file is damaged, or ``data.value_range`` when prepared values are not 0 to 1.
    """
    if images.suffix_of(path) in images.VOLUME_SUFFIXES:
        check_alone(path, images.VOLUME_SUFFIXES)
        volume = nifti_mha.read_volume(path)
        low, high = WINDOW_HU
        intensities = (np.clip(volume.array.astype(np.float32), low, high) - low) / (high - low)
        return Volume(stacked(intensities, path), volume.spacing, volume.origin, volume.direction)
    array = stacked(hdf5.read_arrays(path, "image")["image"], path)
    check_prepared(array, path, "Clip to -125 … 275 HU and scale to 0 … 1.")
    return Volume(array.astype(np.float32))


def read_case_labels(path: Path, n_organs: int) -> Volume:
    """Labels ``(slices, height, width)``, 0 to ``n_organs``; BTCV's numbers of NIfTI files are translated.

    Raises:
        MedbenchError: when the file is damaged, or ``data.label_unknown`` with the values that are no labels.
    """
    if images.suffix_of(path) in images.VOLUME_SUFFIXES:
        check_alone(path, images.VOLUME_SUFFIXES)
        volume = images.read_labels(path)
        labels_of_file = [0, *LABEL_OF_BTCV]
    else:
        volume = Volume(hdf5.read_labels(path, "label"))
        labels_of_file = list(range(n_organs + 1))
    array = stacked(volume.array, path)
    strangers = unknown_labels(array, labels_of_file)
    if strangers:
        raise MedbenchError(
            "data.label_unknown",
            f"{path}: holds the unknown labels {strangers}; known are 0 to {max(labels_of_file)}.",
            "The file is scaled (0/255), interpolated, or of another set.",
        )
    labels = array.astype(np.uint8)
    if max(labels_of_file) > n_organs:
        table = np.zeros(max(labels_of_file) + 1, np.uint8)
        table[list(LABEL_OF_BTCV)] = list(LABEL_OF_BTCV.values())
        labels = table[labels]
    return Volume(labels, volume.spacing, volume.origin, volume.direction)
