"""Writers of tiny releases: each writes so many cases of the test split in the released layout."""

import csv
import itertools
import json

import cv2
import numpy as np

from medbench.challenges import load_challenge
from medbench.challenges.acdc.files import hashed_split as acdc_split
from medbench.challenges.brats.editions import EDITIONS
from medbench.challenges.hc18.files import subject_split
from medbench.challenges.isic2018.files import hashed_split
from medbench.challenges.isic2018_task3.files import CODES
from medbench.challenges.kvasir_polyp.files import hashed_split as kvasir_split
from medbench.challenges.synapse.files import TEST_CASES
from medbench.core.case import Volume
from medbench.core.files import write_text
from medbench.io import hdf5, nifti_mha, raster, video
from medbench.io.pyramids import write_pyramid

MYOPS = (107, 111, 115, 117, 120, 101, 102, 103, 104, 105, 106, 108, 109, 110, 112, 113, 114, 116, 118, 119,
         121, 122, 123, 124, 125)  # fmt: skip
FRAMES = (104, 109, 112, 152, 153, *range(105, 109), 110, 111, *range(113, 127), *range(154, 178),
          *range(343, 364), *range(384, 409), *range(504, 547))  # fmt: skip
IMAGES = (3201, 3260, 3320, 3380, 3440, *range(3203, 3600, 2))
AXES = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)


def noise(number, *shape):
    return np.random.default_rng(number).integers(1, 255, shape).astype(np.uint8)


def disc(number, shape, share=0.5):
    """A disc of its own place and size, 0 and 1."""
    rows, columns = np.indices(shape)
    middle = np.array(shape) / 2 + np.random.default_rng(number).uniform(-1.2, 1.2, 2)
    radius = share * min(shape) / 2 + number % 2
    return (np.hypot(rows - middle[0], columns - middle[1]) < radius).astype(np.uint8)


def volume(number, shape, values):
    """Nested discs in the middle slices, one value inside another."""
    labels = np.zeros(shape, np.int16)
    for index, value in enumerate(values):
        inside = disc(number, shape[1:], 0.9 - 0.6 * index / len(values))
        inside[:, : index + 3] = 0
        labels[1:-1] = np.where(inside, value, labels[1:-1])
    return labels


def brats(name):
    """The writer of an edition."""
    edition = EDITIONS[name][1]
    values = [value for value in edition.labels if value]

    def writer(root, count):
        for number in range(count):
            case = edition.example.format(number + 9)
            folder = root / "test" / case
            for index, suffix in enumerate(edition.suffixes.values()):
                image = noise(4 * number + index, 5, 16, 18).astype(np.int16)
                write(folder / f"{case}{edition.separator}{suffix}.nii.gz", image)
            path = folder / f"{case}{edition.separator}{edition.reference}.nii.gz"
            write(path, volume(number, (5, 16, 18), values).astype(np.uint8))

    return writer


def myops(root, count):
    for number in MYOPS[:count]:
        name = f"myops_training_{number}"
        for index, modality in enumerate(("C0", "DE", "T2")):
            write(root / f"{name}_{modality}.nii.gz", noise(3 * number + index, 4, 20, 22).astype(np.int16))
        write(root / f"{name}_gd.nii.gz", volume(number, (4, 20, 22), (500, 600, 200, 1220, 2221)))


def write(path, array):
    nifti_mha.write_volume(path, Volume(array, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), AXES))


def cvc(root, count):
    for number in FRAMES[:count]:
        raster.write_image(root / "Original" / f"{number}.png", noise(number, 24, 32, 3))
        raster.write_label_map(
            root / "Ground Truth" / f"{number}.png", disc(number, (24, 32)) * np.uint8(255)
        )


def isic(root, count):
    names = [name for name in (f"ISIC_{n:07}" for n in range(200)) if hashed_split(name) == "test"]
    for number, name in enumerate(names[:count]):
        image = root / "ISIC2018_Task1-2_Training_Input" / f"{name}.jpg"
        raster.write_image(image, noise(number, 24, 32, 3))
        mask = root / "ISIC2018_Task1_Training_GroundTruth" / f"{name}_segmentation.png"
        raster.write_label_map(mask, disc(number, (24, 32)) * np.uint8(255))


def hc18(root, count):
    subjects = [f"{n:03}" for n in range(1000) if subject_split(f"{n:03}") == "test"][:count]
    rows = []
    for number, subject in enumerate(subjects):
        name = f"{subject}_HC"
        raster.write_image(root / "training_set" / f"{name}.png", noise(number, 40, 48))
        outline = np.zeros((40, 48), np.uint8)
        cv2.ellipse(outline, (24, 20), (16 - number % 5, 11), 10 * number, 0, 360, 255, 1)
        raster.write_label_map(root / "training_set" / f"{name}_Annotation.png", outline)
        rows.append([f"{name}.png", 0.5 + number % 9 / 10, 60])
    table(
        root / "training_set_pixel_size_and_HC.csv",
        ["filename", "pixel size(mm)", "head circumference (mm)"],
        rows,
    )


def table(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])


def iugc(root, count):
    seg, cls = [], []
    for number in range(count):
        name, folder = f"test_{number}_3", root / "test"
        video.write_video(folder / "videos" / f"{name}.avi", noise(number, 4, 48, 48, 3))
        labels = disc(number, (48, 48), 0.7) * np.uint8(2)
        labels[4:10, 4 + number : 16] = 1
        raster.write_label_map(folder / "seg" / f"{name}.png", np.array([0, 127, 255], np.uint8)[labels])
        seg.append([f"{name}.avi", 4, 1, 3])
        cls.append([f"{name}.avi", 4, "[2, 3]", "[0, 1]"])
    table(
        root / "test/seg/seg_info.csv",
        ["filename", "frame_count", "labeled_frame_count", "labeled_frame_index"],
        seg,
    )
    table(root / "test/cls/cls_label.csv", ["filename", "frame_count", "pos_index", "neg_index"], cls)


def kpis_patch(root, count):
    for number in range(count):
        folder = root / "KPIs24 Testing Data/Task1_patch_level/test/DN" / "11-360"
        stem = f"DN_11-360_{number}_{64 * number}_0"
        raster.write_image(folder / "img" / f"{stem}_img.jpg", noise(number, 48, 48, 3))
        raster.write_image(folder / "mask" / f"{stem}_mask.jpg", disc(number, (48, 48)) * np.uint8(255))


def kpis_slide(root, count):
    for number in range(count):
        folder = root / "KPIs24 Testing Data/Task2_WSI_level/NEP25"
        image, mask = noise(number, 64, 80, 3), disc(number, (64, 80)) * np.uint8(255)
        write_pyramid(folder / f"18-36{number}_wsi.tiff", [image], image.shape)
        write_pyramid(folder / f"18-36{number}_mask.tiff", [mask], mask.shape)


def psfhs(root, count):
    for number in IMAGES[:count]:
        image = np.repeat(noise(number, 1, 256, 256), 3, axis=0)
        labels = disc(number, (256, 256), 0.6) * np.uint8(2)
        labels[20:50, 20 + number % 7 : 90] = 1
        for folder, array in (("image_mha", image), ("label_mha", labels)):
            spaced = Volume(array, (1.0,) * array.ndim)
            nifti_mha.write_volume(root / folder / f"{number:05}.mha", spaced)


def synapse(root, count):
    rows = []
    for number in TEST_CASES[:count]:
        image = noise(number, 4, 24, 26).astype(np.float32) / 255
        labels = volume(number, (4, 24, 26), range(1, 9)).astype(np.uint8)
        arrays = {"image": image, "label": labels}
        hdf5.write_arrays(root / "test_vol_h5" / f"case{number:04}.npy.h5", arrays)
        rows.append([f"case{number:04}", 3, 0.8, 0.8])
    table(root / "spacing.csv", ["case", "z_mm", "y_mm", "x_mm"], rows)


def acdc(root, count):
    rng = np.random.default_rng(0)
    patients = [f"patient{n:03}" for n in range(1, 1000) if acdc_split(f"patient{n:03}") == "test"][:count]
    for number, patient in enumerate(patients):
        image = rng.random((4, 24, 26), np.float32)
        labels = volume(number, (4, 24, 26), (1, 2, 3)).astype(np.uint8)
        hdf5.write_arrays(root / f"{patient}_frame01.h5", {"image": image, "label": labels})


def brain_tumor(root, count):
    names = ("glioma", "meningioma", "notumor", "pituitary")
    for index, name in enumerate(itertools.islice(itertools.cycle(names), count)):
        raster.write_image(root / "Testing" / name / f"Te-{index}.jpg", noise(index, 24, 24, 3))


def colonpath(root, count):
    rows = []
    for number in range(count):
        name = f"2019-{number:05}-1-1-1_2019-05-28 23_50_29-lv1-{number}-1-1-1"
        raster.write_image(root / f"MedFMC_val/colon/images/{name}.png", noise(number, 24, 24, 3))
        rows.append([f"{name}.png", number % 2])
    table(root / "MedFMC_val/colon/colon_val.csv", ["img_id", "tumor"], rows)


def isic_task3(root, count):
    rows = []
    for number in range(count):
        name = f"ISIC_{30000 + number:07}"
        raster.write_image(root / "ISIC2018_Task3_Test_Input" / f"{name}.jpg", noise(number, 24, 30, 3))
        rows.append([name, *(float(index == number % len(CODES)) for index in range(len(CODES)))])
    table(root / "ISIC2018_Task3_Test_GroundTruth.csv", ["image", *CODES], rows)


def iugc2025(root, count):
    rows = []
    for number in range(count):
        raster.write_image(root / f"Dataset/Testing/{number:03}.png", noise(number, 24, 24, 3))
        rows.append([f"{number:03}.png", f"(5, {number})", "(1.5, 2)", "(20, 18)"])
    table(root / "Dataset/Testing/landmarks_data.csv", ["Filename", "PS1", "PS2", "FH1"], rows)


def kvasir(root, count):
    names = [name for name in (f"cju{n}" for n in range(2000)) if kvasir_split(name) == "test"][:count]
    entries = {}
    for number, name in enumerate(names):
        raster.write_image(root / "Kvasir-SEG/images" / f"{name}.jpg", noise(number, 24, 32, 3))
        box = {"label": "polyp", "xmin": 3 + number % 7, "ymin": 4, "xmax": 20, "ymax": 19}
        entries[name] = {"height": 24, "width": 32, "bbox": [box]}
    write_text(root / "Kvasir-SEG/kavsir_bboxes.json", json.dumps(entries))


def summaries(name):
    """The writer of a set of videos, whose sample is one file for all."""
    return lambda root, count: load_challenge(name).release.write_sample(root, {})
