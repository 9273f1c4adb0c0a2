"""What ``speed/memory.py`` measures: programs that take much memory, each as a process of its own.

python speed/memory_uses.py USE                  do one of the uses that are no command, and print a digest
python speed/memory_uses.py prepare HOME USE …   draw the data of these uses into a folder
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
MEDBENCH = (sys.executable, "-W", "ignore", "-m", "medbench")
HEADS, HEAD = 6, (80, 144, 128)
WINDOWED, WINDOW = (96, 160, 160), 96
PASSES = {"dssau_net": (4, 256, 8), "brau_net_pp": (4, 224, 4), "smp/unet": (4, 512, 6)}
"""Network -> images of a batch, their side, number of passes."""


@dataclass(frozen=True, slots=True)
class Use:
    """A program whose memory is measured.

    Attributes:
        title: for the table.
        command: of its process, from the folder of what was prepared and an empty one of its own.
        result: pattern of the file that it leaves; without one its last line is its result.
    """

    title: str
    command: Callable[[Path, Path], list[str]]
    result: str = ""


def training(model: str, challenge: str, recipe: str, changes: str, home: Path, place: Path) -> list[str]:
    settings = [word for change in changes.split() for word in ("--recipe-set", change)]
    return [
        *MEDBENCH, "train", "-m", model, "-c", challenge, "--data", str(home / challenge),
        "--recipe", recipe, *settings, "--accelerator", "cpu", "--runs", str(place / "runs"),
    ]  # fmt: skip


def evaluation(home: Path, place: Path) -> list[str]:
    folders = ["-r", str(home / "references"), "-p", str(home / "predictions")]
    metrics = ["--metrics", "dice,hd95.pooled,assd.pooled", "--workers", "1"]
    return [*MEDBENCH, "evaluate", *folders, *metrics, "--output", str(place / "scores.jsonl")]


def own(use: str, home: Path, place: Path) -> list[str]:
    return [sys.executable, "-W", "ignore", str(HERE), use]


NNUNET = "epochs=1 steps=3 validation_steps=1 base_features=32 memory_gb=1.5 batch_size=0"
ONE_EPOCH = "epochs=1 least_steps=0"
USES = {
    "nnunet": Use(
        "training, nnU-Net in 3-D, planned for 1.5 GB, 3 steps",
        partial(training, "nnunet", "brats2020", "quick", NNUNET),
        "*/weights.pt",
    ),
    "unet3d": Use(
        "training, MONAI's U-Net, 2 patches of 96³, validated",
        partial(training, "monai/unet", "brats2020", "default", "epochs=2 least_steps=0 patches=2"),
        "*/weights.pt",
    ),
    "dmaf3d": Use(
        "training, DMAF-Net, patches of 80³",
        partial(training, "dmaf_net", "brats2020", "default", ONE_EPOCH),
        "*/weights.pt",
    ),
    "dssau2d": Use(
        "training, DSSAU-Net, 4 images of 256², validated",
        partial(training, "dssau_net", "psfhs", "default", f"{ONE_EPOCH} batch_size=4"),
        "*/weights.pt",
    ),
    **{
        f"forward:{model}": Use(
            f"{passes} passes, {model}, {images} images of {side}²", partial(own, f"forward:{model}")
        )
        for model, (images, side, passes) in PASSES.items()
    },
    "windows": Use(
        f"prediction, MONAI's U-Net, windows of {WINDOW}³ of a volume of {'×'.join(map(str, WINDOWED))}",
        partial(own, "windows"),
    ),
    "ct": Use(
        "`evaluate`, CT of 200×512×512 with 8 labels and 300×320×320 with 117", evaluation, "scores.jsonl"
    ),
}


def prepare(home: Path, uses: Iterable[str]) -> None:
    """Draw the data of these uses, where they are not there already."""
    import medbench
    from medbench.challenges.brats import sample as heads

    heads.SHAPE, heads.COUNTS = HEAD, {"train": HEADS, "val": 0, "test": 0}
    named = set(uses)
    for challenge, needed in (("brats2020", {"nnunet", "unet3d", "dmaf3d"}), ("psfhs", {"dssau2d"})):
        if named & needed and not (home / challenge).exists():
            medbench.load_challenge(challenge).release.draw_sample(home / challenge, {})
    if "ct" in named and not (home / "predictions").exists():
        write_label_maps(home)


def write_label_maps(home: Path) -> None:
    """Two large pairs of label maps in ``references`` and ``predictions``."""
    from medbench.core.case import Volume
    from medbench.io.nifti_mha import write_volume
    from metrics_cases import SCAN_SPACING, many_labels, organ_maps

    for name, maps in (("organs", organ_maps()), ("structures", many_labels())):
        for folder, labels in zip(("references", "predictions"), maps, strict=True):
            write_volume(home / folder / f"{name}.nii.gz", Volume(labels, SCAN_SPACING))


def forward(model: str) -> str:
    """Passes of a 2-D network on a batch."""
    import torch

    import medbench

    images, side, passes = PASSES[model]
    torch.manual_seed(0)
    network = medbench.create_model(model, num_classes=3, image_size=side).eval()
    batch = torch.rand(images, 3, side, side)
    with torch.inference_mode():
        for _ in range(passes):
            output = network(batch)
    return digest(output[0] if isinstance(output, tuple) else output)


def windows() -> str:
    """One volume, predicted in overlapping windows twice."""
    import torch

    import medbench
    from medbench.inference.volumes import slide_windows

    torch.manual_seed(0)
    network = medbench.create_model("monai/unet", num_classes=4).eval()
    volume = torch.randn(4, *WINDOWED)
    with torch.inference_mode():
        for _ in range(2):
            classes = slide_windows(network, volume, (WINDOW,) * 3, overlap=0.5)
    return digest(classes)


def digest(values: Any) -> str:
    return hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()


def main(use: str) -> None:
    from medbench.core.machine import keep_freed_memory

    keep_freed_memory()
    name, _, model = use.partition(":")
    print({"forward": lambda: forward(model), "windows": windows}[name]())


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]), sys.argv[3:])
    else:
        main(sys.argv[1])
