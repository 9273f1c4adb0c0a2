"""Speed and memory of DSSAU-Net and its dual sparse selection attention against a plain transcription.

The plain network follows the paper and the authors' program (XiaZunhui/DSSAU-Net@ce1d11d) step by step:
``(N, C, H, W)`` maps, selected regions and pixels fetched through indices that are expanded to every channel,
linear layers where the paper has them. The script first shows that both compute the same outputs and
gradients from the same weights in float64, then times them in turns.

    python benchmarks/sparse_attention.py --repeats 15 --write
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads then count as no CPU time

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import StochasticDepth

import medbench
from medbench.models.blocks.dual_sparse_selection_attention import DualSparseSelectionAttention

THREADS = 2
GRID = 8
ATTENTIONS = {"1/4": (96, 3, 64, 1), "1/8": (192, 6, 32, 4), "1/16": (384, 12, 16, 16)}
PAGE = Path(__file__).with_suffix(".md")
REMARKS = "## What bounds it\n"
HEADING = """# DSSAU-Net and its sparse attention against a plain transcription

Written by `python benchmarks/sparse_attention.py --write`, which says what the plain one is.
"""


class PlainSparseAttention(nn.Module):
    """Section 3.2 of arXiv 2507.02488, on ``(N, H, W, C)`` like its neighbours, ``(N, C, H, W)`` within."""

    def __init__(self, dim: int, heads: int, topk: int) -> None:
        super().__init__()
        self.heads, self.topk, self.scale = heads, topk, dim**-0.5
        self.qkv_linear = nn.Conv2d(dim, 3 * dim, 1)
        self.lepe = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.output_linear = nn.Conv2d(dim, dim, 1)

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = self.qkv_linear(features.permute(0, 3, 1, 2)).chunk(3, dim=1)
        n, dim, height, width = query.shape
        region = height // GRID, width // GRID
        grid = -(-height // region[0]), -(-width // region[1])
        regions, pixels, d = grid[0] * grid[1], region[0] * region[1], dim // self.heads

        means = [
            functional.avg_pool2d(part.detach(), region, ceil_mode=True, count_include_pad=False).flatten(2)
            for part in (query, key)
        ]
        chosen = (means[0].transpose(1, 2) @ means[1]).topk(self.topk, dim=-1).indices

        def cut(part: Tensor) -> Tensor:
            part = functional.pad(part, (0, grid[1] * region[1] - width, 0, grid[0] * region[0] - height))
            part = part.reshape(n, self.heads, d, grid[0], region[0], grid[1], region[1])
            return part.permute(0, 1, 3, 5, 4, 6, 2).reshape(n, self.heads, regions, pixels, d)

        def fetch(part: Tensor) -> Tensor:
            index = chosen.view(n, 1, regions, self.topk, 1, 1)
            index = index.expand(n, self.heads, regions, self.topk, pixels, d)
            table = part.unsqueeze(2).expand(n, self.heads, regions, regions, pixels, d)
            return table.gather(3, index).flatten(3, 4)

        queries, keys, values = cut(query) * self.scale, fetch(cut(key)), fetch(cut(value))
        logits, index = (queries @ keys.transpose(-1, -2)).topk(self.topk * pixels // 8, dim=-1)
        kept = values.unsqueeze(3).expand(*values.shape[:3], pixels, *values.shape[3:])
        kept = kept.gather(4, index.unsqueeze(-1).expand(*index.shape, d))
        attended = (logits.softmax(dim=-1).unsqueeze(-2) @ kept).squeeze(-2)
        attended = attended.view(n, self.heads, *grid, *region, d).permute(0, 1, 6, 2, 4, 3, 5)
        attended = attended.reshape(n, dim, grid[0] * region[0], grid[1] * region[1])
        attended = attended[..., :height, :width]
        return self.output_linear(attended + self.lepe(value)).permute(0, 2, 3, 1)


class PlainFullAttention(nn.Module):
    """Attention among all pixels of ``(N, H, W, C)``, eight heads."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.lepe = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        n, height, width, dim = features.shape
        qkv = self.qkv(features).view(n, height * width, 3, 8, dim // 8).permute(2, 0, 3, 1, 4)
        query, key, value = qkv
        weights = (query * (dim // 8) ** -0.5 @ key.transpose(-1, -2)).softmax(dim=-1)
        attended = (weights @ value).transpose(1, 2).reshape(n, height, width, dim)
        local = self.lepe(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.proj(attended + local)


class PlainBlock(nn.Module):
    """``(N, C, H, W)`` in and out."""

    def __init__(self, dim: int, attention: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = attention
        self.mlp = nn.Sequential(nn.Linear(dim, 3 * dim), nn.Identity(), nn.GELU(), nn.Linear(3 * dim, dim))
        self.drop_path = StochasticDepth(drop_path, "row") if drop_path else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        features = (images + self.pos_embed(images)).permute(0, 2, 3, 1)
        features = features + self.drop_path(self.attn(self.norm1(features)))
        features = features + self.drop_path(self.mlp(self.norm2(features)))
        return features.permute(0, 3, 1, 2)


def _stages(dims: Sequence[int]) -> nn.ModuleList:
    depth, rates = (2, 2, 8, 2), iter(0.2 * block / 13 for block in range(14))

    def attention(level: int, dim: int) -> nn.Module:
        if level == 3:
            return PlainFullAttention(dim)
        return PlainSparseAttention(dim, dim // 32, (1, 4, 16)[level])

    return nn.ModuleList(
        nn.Sequential(*(PlainBlock(dim, attention(level, dim), next(rates)) for _ in range(depth[level])))
        for level, dim in enumerate(dims)
    )


def _conv_norm(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def _enlarge(images: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(images, tuple(size), mode="bilinear", align_corners=True)


class PlainDSSAUNet(nn.Module):
    """Parameters are named as the authors', so that ours loads them as it loads a checkpoint of theirs."""

    def __init__(self) -> None:
        super().__init__()
        dims, c = (96, 192, 384, 768), 64
        stem = nn.Sequential(*_conv_norm(3, 48, 3, 2), nn.GELU(), *_conv_norm(48, 96, 3, 2))
        reductions = [_conv_norm(inputs, outputs, 3, 2) for inputs, outputs in itertools.pairwise(dims)]
        self.Encoder = nn.ModuleDict(
            {
                "downsample_layers": nn.ModuleList([stem, *reductions]),
                "stages": _stages(dims),
                "extra_norms": nn.ModuleList(nn.LayerNorm(dim, eps=1e-6) for dim in dims),
            }
        )
        self.Decoder = nn.ModuleDict({"stages": _stages([c] * 4)})
        pyramid = [nn.Sequential(nn.AdaptiveMaxPool2d(side), nn.Conv2d(768, c, 1)) for side in (1, 2, 3, 6)]
        pooling = {"psp_modules": nn.ModuleList(pyramid), "final": _conv_norm(768 + 4 * c, c)}
        self.decoder = nn.ModuleDict({"PPMHead": nn.ModuleDict(pooling)})
        for number, dim in ((1, 384), (2, 192), (3, 96)):
            self.decoder[f"Conv_fuse{number}"] = _conv_norm(dim, c)
            self.decoder[f"Conv_fuse{number}_"] = _conv_norm(c, c)
        self.decoder["fuse_all"] = _conv_norm(4 * c, c)
        self.decoder["conv_x1"] = nn.Conv2d(c, c, 1)
        self.cls_seg = nn.Sequential(nn.Conv2d(c, 3, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        features, maps = images, []
        for reduce, stage, norm in zip(*self.Encoder.values(), strict=True):
            features = stage(reduce(features))
            maps.append(norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        pooling = self.decoder["PPMHead"]
        parts = [_enlarge(part(maps[3]), maps[3].shape[2:]) for part in pooling["psp_modules"]]
        features = pooling["final"](torch.cat([*parts, maps[3]], dim=1)).relu()
        features = self.Decoder["stages"][3](features)
        pyramid = [features]
        for number, level in ((1, 2), (2, 1), (3, 0)):
            skip = self.decoder[f"Conv_fuse{number}"](maps[level]).relu()
            features = _enlarge(features, skip.shape[2:])
            if level == 2:
                features = self.decoder["conv_x1"](features)
            features = self.Decoder["stages"][level](features + skip)
            features = self.decoder[f"Conv_fuse{number}_"](features).relu()
            pyramid.append(features)
        size = features.shape[2:]
        joined = torch.cat([_enlarge(part, size) for part in pyramid], dim=1)
        fused = self.decoder["fuse_all"](joined).relu()
        return self.cls_seg(_enlarge(fused, [4 * side for side in size]))


def ours_from(what: str, plain: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by the plain parameters' names to ours."""
    if what == "network":
        return medbench.official_state_dict("dssau_net", plain)
    names = {"qkv_linear": "qkv", "lepe": "local_enhancement", "output_linear": "output"}
    split = {key: key.split(".") for key in plain}
    return {
        f"{names[layer]}.{kind}": plain[key].flatten(1) if plain[key].shape[2:] == (1, 1) else plain[key]
        for key, (layer, kind) in split.items()
    }


def pair_of(what: str) -> tuple[nn.Module, nn.Module, tuple[int, ...]]:
    """Ours, the plain one with the same weights, and the shape of one input without the batch."""
    torch.manual_seed(0)
    ours: nn.Module
    plain: nn.Module
    shape: tuple[int, ...]
    if what == "network":
        ours, plain, shape = medbench.create_model("dssau_net", num_classes=3), PlainDSSAUNet(), (3, 256, 256)
    else:
        dim, heads, side, topk = ATTENTIONS[what]
        ours = DualSparseSelectionAttention(dim, heads, GRID, topk)
        plain, shape = PlainSparseAttention(dim, heads, topk), (side, side, dim)
    ours.load_state_dict(ours_from(what, plain.state_dict()))
    return ours, plain, shape


@dataclass(frozen=True, slots=True)
class Workload:
    """What is timed.

    Attributes:
        what: ``network`` or the level of an attention.
        batch: images.
        training: forward, backward and, for the network, an AdamW step.
    """

    what: str
    batch: int
    training: bool

    @property
    def title(self) -> str:
        """In words."""
        if self.what == "network":
            return f"network 256×256, {'training step' if self.training else 'forward'}, batch {self.batch}"
        dim, heads, side, topk = ATTENTIONS[self.what]
        step = "forward + backward" if self.training else "forward"
        return f"attention {side}×{side}×{dim}, {heads} heads, topk {topk}, {step}, batch {self.batch}"

    def call(self, model: nn.Module, shape: tuple[int, ...]) -> Callable[[], None]:
        """One run of it."""
        images = torch.randn(self.batch, *shape, requires_grad=self.training and self.what != "network")
        if not self.training:
            model.eval()

            def forward() -> None:
                with torch.inference_mode():
                    model(images)

            return forward
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        target = torch.randint(0, 3, (self.batch, *shape[1:]))

        def step() -> None:
            optimiser.zero_grad()
            images.grad = None
            output = model(images)
            if self.what == "network":
                functional.cross_entropy(output, target).backward()
                optimiser.step()
            else:
                output.backward(output.detach())

        return step


WORKLOADS = (
    Workload("network", 1, False),
    Workload("network", 2, True),
    Workload("network", 4, True),
    *(Workload(level, batch, batch > 1) for level in ATTENTIONS for batch in (1, 4)),
)


def show_equal(what: str) -> tuple[float, float]:
    """Largest relative difference of output and of any gradient in float64, evaluation mode."""
    ours, plain, shape = pair_of(what)
    images = torch.randn(1, *shape, dtype=torch.float64)
    outputs = []
    for model in (ours.double().eval(), plain.double().eval()):
        output = model(images)
        outputs.append(output.detach())
        (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
    gradients = plain.state_dict() | {name: part.grad for name, part in plain.named_parameters()}
    gradients = ours_from(what, gradients)
    least = 1e-6 * max(float(part.grad.norm()) for part in ours.parameters())
    off = [
        float((part.grad - gradients[name]).norm()) / max(float(gradients[name].norm()), least)
        for name, part in ours.named_parameters()
    ]
    return float((outputs[0] - outputs[1]).norm() / outputs[1].norm()), max(off)


def measure(workload: Workload, repeats: int) -> list[tuple[float, float]]:
    """Median wall and CPU milliseconds of ours and of the plain one, taken in turns."""
    ours, plain, shape = pair_of(workload.what)
    calls = [workload.call(model, shape) for model in (ours, plain)]
    times: list[list[tuple[float, float]]] = [[], []]
    for turn in range(-1, repeats):
        for which in (0, 1) if turn % 2 else (1, 0):
            wall, cpu = time.perf_counter(), time.process_time()
            calls[which]()
            if turn >= 0:
                times[which].append(((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3))
    return [(statistics.median(w for w, _ in one), statistics.median(c for _, c in one)) for one in times]


def peak_mb(workload: Workload, which: int) -> float:
    """Largest resident size in MB of a process that does this work twice and nothing else."""
    command = [sys.executable, __file__, "--peak", str(WORKLOADS.index(workload)), str(which)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _report_peak(workload: Workload, which: int) -> None:
    models = list(pair_of(workload.what))
    call = workload.call(models[which], models[2])
    models.clear()
    for _ in range(2):
        call()
    print(_high_water_mb())


def _high_water_mb() -> float:
    """Of this process alone: Linux hands ``ru_maxrss`` down from the parent, ``VmHWM`` begins anew."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1 << 20 if sys.platform == "darwin" else 1024
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9, help="timed runs of each, after one warm-up")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--peak", nargs=2, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    if arguments.peak:
        _report_peak(WORKLOADS[arguments.peak[0]], arguments.peak[1])
        return

    lines = [
        "| the same weights in float64 | output | largest of any parameter's gradient |",
        "|---|---|---|",
    ]
    for what in ("network", *ATTENTIONS):
        output, gradient = show_equal(what)
        lines.append(
            f"| {what if what == 'network' else f'attention at {what}'} | {output:.0e} | {gradient:.0e} |"
        )
        print(lines[-1], flush=True)
        if max(output, gradient) > 1e-9:
            raise SystemExit("They do not compute the same function.")
    lines += [
        "",
        "| work | wall ms, ours | plain | ratio | CPU ms, ours | plain | ratio | peak MB, ours | plain |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for workload in WORKLOADS:
        (wall, cpu), (plain_wall, plain_cpu) = measure(workload, arguments.repeats)
        peaks = [peak_mb(workload, which) for which in (0, 1)]
        lines.append(
            f"| {workload.title} | {wall:.1f} | {plain_wall:.1f} | **{plain_wall / wall:.2f}** "
            f"| {cpu:.1f} | {plain_cpu:.1f} | **{plain_cpu / cpu:.2f}** | {peaks[0]:.0f} | {peaks[1]:.0f} |"
        )
        print(lines[-1], flush=True)
    if arguments.write:
        _write(lines, arguments.repeats)


def _write(lines: list[str], repeats: int) -> None:
    """Renew the measured part of the page; what a person wrote below stays."""
    about = (
        f"{_processor()}, {THREADS} threads, torch {torch.__version__}, float32, "
        f"{datetime.date.today().isoformat()}; medians of {repeats} runs taken in turns; peak memory is the "
        "largest resident size of a process that does this work twice and nothing else."
    )
    _, mark, remarks = (PAGE.read_text() if PAGE.exists() else REMARKS).partition(REMARKS)
    PAGE.write_text("\n".join([HEADING, about, "", *lines, "", mark]) + remarks)


if __name__ == "__main__":
    main()
