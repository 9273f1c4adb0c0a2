"""What the gate costs: its readers beside the plain ones of before, in turns, in one run.

python speed/gate.py --write      # also writes speed/gate.md

Before is OpenCV for images (with a look for the file's end) and SimpleITK for volumes (with a look for
NIfTI files that end early), as medbench read until the gate.
"""

import argparse
import contextlib
import functools
import gzip
import os
import platform
import shutil
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import SimpleITK
from typer.testing import CliRunner

from medbench.cli.main import app
from medbench.core.case import Volume
from medbench.core.files import write_text
from medbench.io import eight_bit, images, nifti_mha
from medbench.running import pair_scores

BAR = 1.1


def blobs(shape, seed, n_labels=4):
    """A smooth label map, as networks give them."""
    rng = np.random.default_rng(seed)
    coarse = rng.random([side // 12 + 2 for side in shape])
    for axis, side in enumerate(shape):
        coarse = np.repeat(coarse, 12, axis)[tuple([slice(None)] * axis + [slice(0, side)])]
    centre = np.indices(shape, sparse=True)
    radius = sum(((index - side / 2) / (side / 4)) ** 2 for index, side in zip(centre, shape, strict=True))
    return np.where(radius + coarse * 0.6 < 1, 1 + (coarse * (n_labels - 1)).astype(np.uint8), 0).astype(
        np.uint8
    )


def old_png(path):
    """An image as it was read: looked at for its end, decoded by OpenCV, looked at for its kind."""
    encoded = np.fromfile(path, dtype=np.uint8)
    assert b"IEND" in encoded.tobytes()[-64:]
    picture = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if picture.ndim == 3:
        picture = picture[:, :, 2::-1]
    picture = np.ascontiguousarray(picture)
    with open(path, "rb") as stream:
        assert stream.read(26)[24] == 8
    return picture


def old_mask(path):
    """A mask as it was read."""
    encoded = np.fromfile(path, dtype=np.uint8)
    assert b"IEND" in encoded.tobytes()[-64:]
    labels = np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED))
    binary = np.asarray(labels == labels.max(initial=0))
    assert not np.any(labels[~binary])
    return binary.astype(np.uint8)


def old_volume(path):
    """A volume as it was read."""
    assert path.is_file()
    if path.name.endswith(".nii.gz"):
        with gzip.open(path) as stream:
            header = stream.read(348)
            dimensions = struct.unpack("<8h", header[40:56])
            int(np.prod(dimensions[1 : 1 + dimensions[0]], dtype=np.int64))
        with open(path, "rb") as stream:
            stream.seek(-4, 2)
            stream.read(4)
    image = SimpleITK.ReadImage(str(path))
    return Volume(
        SimpleITK.GetArrayFromImage(image),
        tuple(reversed(image.GetSpacing())),
        tuple(reversed(image.GetOrigin())),
        tuple(image.GetDirection()),
    )


def old_geometry(path):
    """Geometry as it was read."""
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader.GetSpacing()


def write_all(folder, n_pictures, n_volumes, n_frames):
    """The files: half of the images are masks."""
    sets = {name: [] for name in ("PNG masks 512 × 512", "PNG images 384 × 288 RGB", "labels", "mha", "raw")}
    for index in range(n_pictures // 2):
        path = folder / f"m{index}.png"
        if index < 50:
            cv2.imwrite(str(path), (blobs((512, 512), index) > 0).astype(np.uint8) * 255)
            picture = cv2.GaussianBlur(
                np.random.default_rng(index).integers(0, 256, (288, 384, 3), np.uint8), (9, 9), 3
            )
            cv2.imwrite(str(folder / f"p{index}.png"), picture)
        else:
            for kind in "mp":
                (folder / f"{kind}{index}.png").write_bytes((folder / f"{kind}{index % 50}.png").read_bytes())
        sets["PNG masks 512 × 512"].append(path)
        sets["PNG images 384 × 288 RGB"].append(folder / f"p{index}.png")
    for index in range(n_volumes):
        path = folder / f"v{index}.nii.gz"
        if index < 10:
            image = SimpleITK.GetImageFromArray(blobs((155, 240, 240), index).astype(np.int16))
            SimpleITK.WriteImage(image, str(path), True)
        else:
            path.write_bytes((folder / f"v{index % 10}.nii.gz").read_bytes())
        sets["labels"].append(path)
    for index in range(n_frames):
        image = SimpleITK.GetImageFromArray(blobs((256, 256), index))
        for name, packed in (("mha", True), ("raw", False)):
            path = folder / f"{name}{index}.mha"
            SimpleITK.WriteImage(image, str(path), packed)
            sets[name].append(path)
    return sets


def seconds(read, paths):
    """CPU time of reading all files once; wall time would tell of the machine's other users."""
    started = time.process_time()
    for path in paths:
        read(path)
    return time.process_time() - started


def plain_labels(path, **_):
    """A label map as it was read."""
    return old_volume(path) if path.name.endswith(".nii.gz") else Volume(old_png(path))


@contextlib.contextmanager
def ungated():
    """``medbench evaluate`` with the readers of before, and without flags."""
    names = {
        "read_labels": plain_labels,
        "flags": lambda *_: {},
        "check_geometry": lambda *_, **__: None,
    }
    gated = {name: getattr(pair_scores, name) for name in names}
    for name, plain in names.items():
        setattr(pair_scores, name, plain)
    try:
        yield
    finally:
        for name, own in gated.items():
            setattr(pair_scores, name, own)


def shifted(path):
    """The prediction beside a reference: its labels moved by two voxels, written as the reference is."""
    target = path.with_name(f"predicted-{path.name}")
    if path.name.endswith(".nii.gz"):
        image = SimpleITK.ReadImage(str(path))
        moved = SimpleITK.GetImageFromArray(np.roll(SimpleITK.GetArrayFromImage(image), 2, -1))
        moved.CopyInformation(image)
        SimpleITK.WriteImage(moved, str(target), True)
    else:
        cv2.imwrite(str(target), np.roll(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), 2, -1))
    return target


def sides_of(folder, paths, n_cases, n_kinds):
    """A folder of references and one of predictions; ``n_kinds`` different files take turns."""
    sides = folder / "r", folder / "p"
    for side in sides:
        side.mkdir(parents=True)
    predicted = [shifted(path) for path in paths[:n_kinds]]
    for index in range(n_cases):
        for side, sources in zip(sides, (paths, predicted), strict=True):
            source = sources[index % n_kinds]
            shutil.copy(source, side / f"{index}{''.join(paths[0].suffixes)}")
    return sides


def evaluated(sides, output):
    """CPU time of ``medbench evaluate`` on two folders, and the scores that it wrote."""
    command = ["evaluate", "-r", sides[0], "-p", sides[1], "--metrics", "dice", "--workers", 1, "-o", output]
    started = time.process_time()
    done = CliRunner().invoke(app, list(map(str, command)))
    spent = time.process_time() - started
    assert done.exit_code == 0, done.output
    return spent, output.read_bytes()


def evaluation_rows(folder, sets, n_turns):
    """CPU time of ``medbench evaluate -r -p --metrics dice`` over whole folders, by both readers in turns."""
    for name, (paths, n_cases, n_kinds) in sets.items():
        sides, output = sides_of(folder / name, paths, n_cases, n_kinds), folder / "scores.jsonl"
        turns = []
        for _ in range(n_turns):
            with ungated():
                before, scores = evaluated(sides, output)
            after, gated_scores = evaluated(sides, output)
            assert scores == gated_scores
            turns.append((before * 1000 / n_cases, after * 1000 / n_cases))
        before, after = (statistics.median(side) for side in zip(*turns, strict=True))
        yield name, n_cases, before, after, statistics.median(new / old for old, new in turns)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--volumes", type=int, default=100)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    grown = functools.partial(nifti_mha.read_geometry)
    with tempfile.TemporaryDirectory() as folder:
        sets = write_all(Path(folder), arguments.images, arguments.volumes, arguments.frames)
        rows = [
            ("PNG masks 512 × 512", old_mask, eight_bit.read_binary_mask, sets["PNG masks 512 × 512"]),
            ("PNG images 384 × 288 RGB", old_png, eight_bit.read_rgb, sets["PNG images 384 × 288 RGB"]),
            (".nii.gz label maps 240 × 240 × 155", old_volume, images.read_labels, sets["labels"]),
            (".nii.gz headers of the same", old_geometry, grown, sets["labels"]),
            (".mha frames 256 × 256, zlib", old_volume, images.read_labels, sets["mha"]),
            (".mha frames 256 × 256, plain", old_volume, images.read_labels, sets["raw"]),
        ]
        lines = [
            "| files | number | before, ms a file | gate, ms a file | gate / before |",
            "|---|---|---|---|---|",
        ]
        worst = 0.0
        for name, old, new, paths in rows:
            for path in paths[:3]:
                old(path), new(path)
            turns = [(seconds(old, paths), seconds(new, paths)) for _ in range(arguments.turns)]
            before, after = (statistics.median(side) * 1000 / len(paths) for side in zip(*turns, strict=True))
            ratio = statistics.median(new_s / old_s for old_s, new_s in turns)
            worst = max(worst, ratio)
            lines.append(f"| {name} | {len(paths):,} | {before:.3f} | {after:.3f} | {ratio:.2f} |")
            print(lines[-1], flush=True)
        whole = {
            "evaluate, .nii.gz label maps 240 × 240 × 155": (sets["labels"], arguments.volumes, 10),
            "evaluate, PNG masks 512 × 512": (sets["PNG masks 512 × 512"], arguments.images, 50),
        }
        for name, count, before, after, ratio in evaluation_rows(Path(folder), whole, arguments.turns):
            worst = max(worst, ratio)
            lines.append(f"| {name} | {count:,} | {before:.3f} | {after:.3f} | {ratio:.2f} |")
            print(lines[-1], flush=True)
    told = (
        f"# The gate\n\nWritten by `python speed/gate.py --write`: each set is read by both readers in "
        f"turns, {arguments.turns} times, one thread, the file cache warm; medians of CPU time. "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load average {os.getloadavg()[0]:.1f}. Before is OpenCV and SimpleITK as "
        f"medbench used them. The last rows are whole commands, `medbench evaluate -r -p --metrics dice`: a "
        f"case is a reference and a prediction that is moved by two voxels, and the gate's side also looks "
        f"for unused files, flags and strange labels. "
        f"Bar: at most {BAR} × before.\n\n"
    )
    text = told + "\n".join(lines) + "\n"
    if arguments.write:
        write_text(Path(__file__).parent / "gate.md", text)
    return int(worst > BAR)


if __name__ == "__main__":
    sys.exit(main())
