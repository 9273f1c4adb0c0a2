"""Kernel temporal segmentation, FullTransNet's attention and the whole network by length.

python speed/summaries.py > speed/summaries.md
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import time

import numpy as np

SHOT_STEPS, CHANNELS, GLOBAL_EVERY = 60, 1024, 7
NETWORK = ("prediction", "training step")
BOUND, DECODER_BOUND = 64, 512
BOUNDED = {"encoder, all": 0, "encoder, bounded": BOUND, "prediction, bounded": BOUND}


def scenes(n, channels=CHANNELS, seed=1):
    """Unit features of frames in shots of 20 to 120, with noise within."""
    rng = np.random.default_rng(seed)
    parts, count = [], 0
    while count < n:
        size = int(rng.integers(SHOT_STEPS // 3, 2 * SHOT_STEPS))
        parts.append(np.maximum(rng.normal(size=channels), 0) + rng.normal(0, 0.3, (size, channels)))
        count += size
    features = np.concatenate(parts)[:n]
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def double_loop(kernel, changes):
    """The published dynamic program as it is usually written: two loops and a minimum over beginnings."""
    n = len(kernel)
    own = np.concatenate([[0.0], np.diag(kernel).cumsum()])
    sums = np.zeros((n + 1, n + 1))
    sums[1:, 1:] = kernel.cumsum(0).cumsum(1)
    scatter = np.zeros((n, n))
    for i in range(n):
        for j in range(i, n):
            block = sums[j + 1, j + 1] + sums[i, i] - sums[j + 1, i] - sums[i, j + 1]
            scatter[i, j] = own[j + 1] - own[i] - block / (j - i + 1)
    least = np.full((changes + 1, n + 1), 1e101)
    least[0, 1:] = scatter[0]
    back = np.zeros((changes + 1, n + 1), int)
    for k in range(1, changes + 1):
        for end in range(k + 1, n + 1):
            best, place = 1e102, k
            for t in range(k, end):
                total = scatter[t, end - 1] + least[k - 1, t]
                if total < best:
                    best, place = total, t
            least[k, end], back[k, end] = best, place
    counts = np.arange(1, changes + 1)
    penalties = np.concatenate([[0.0], counts / (2.0 * n) * (np.log(n / counts) + 1)])
    count, end, places = int(np.argmin(least[:, n] / n + penalties)), n, []
    for k in range(count, 0, -1):
        end = back[k, end]
        places.append(int(end))
    return places[::-1]


def attention(kind, n):
    """One forward pass of a layer of the encoder in evaluation."""
    import torch

    from medbench.models.blocks.local_global_attention import LocalGlobalAttention

    torch.manual_seed(0)
    tokens, chosen = torch.randn(1, n, 64), torch.arange(0, n, GLOBAL_EVERY)[None]
    layer = LocalGlobalAttention(64, 8, 16, 0.0, memory_order=kind == "published").eval()
    seen = torch.full((1, 1), n) if kind == "published" else None
    with torch.inference_mode():
        started = time.process_time()
        if kind == "dense":
            query, key, value = (
                part(tokens)[0].unflatten(-1, (8, -1)).transpose(0, 1)
                for part in (layer.query, layer.key, layer.value)
            )
            scores = query @ key.transpose(1, 2) * 8**-0.5
            near = (torch.arange(n)[:, None] - torch.arange(n)).abs() <= 16
            near[:, chosen[0]] = True
            scores.masked_fill_(~near, float("-inf")).softmax(-1) @ value
        else:
            layer(tokens, chosen, seen)
        return time.process_time() - started


def whole_network(what, n):
    """Seconds of one prediction, or of one step of Adam, on a video of n sampled frames."""
    import torch

    import medbench
    from medbench.training.sequence_fit import TrainingVideo, video_loss
    from medbench.training.summary_losses import summary_loss

    torch.manual_seed(0)
    network = medbench.create_model("fulltransnet", num_classes=1, length=n)
    starts = np.arange(0, n, GLOBAL_EVERY * 3) * 15
    facts = {
        "picks": np.arange(n) * 15,
        "change_points": np.stack([starts, np.append(starts[1:], n * 15) - 1], axis=1),
        "n_frames": n * 15,
    }
    key_frames = torch.arange(0, n, 7)
    video = TrainingVideo("video", torch.rand(n, CHANNELS), facts, key_frames)
    if what == "prediction":
        from medbench.inference.fulltransnet_predictor import global_frames

        everywhere = global_frames(facts)[None]
        started = time.process_time()
        with torch.inference_mode():
            network.eval().frame_scores(video.features[None], video.features[None], everywhere)
        return time.process_time() - started
    optimizer = torch.optim.Adam(network.parameters())
    started = time.process_time()
    video_loss(network.train(), video, summary_loss("bce")).backward()
    optimizer.step()
    return time.process_time() - started


def bounded(what, n):
    """Seconds of the encoder, or of a prediction, with its bounds."""
    import torch

    import medbench

    torch.manual_seed(0)
    bounds = {"most_global_frames": BOUNDED[what], "most_decoder_frames": DECODER_BOUND}
    network = medbench.create_model("fulltransnet", num_classes=1, length=n, **bounds)
    frames, everywhere = torch.rand(1, n, CHANNELS), torch.arange(0, n, GLOBAL_EVERY)[None]
    with torch.inference_mode():
        network.eval()
        started = time.process_time()
        if what.startswith("encoder"):
            network.encode(frames, everywhere)
        else:
            network.frame_scores(frames, frames, everywhere)
        return time.process_time() - started


def measure(what, n):
    """Seconds and peak MiB above the imports, in this process."""
    if what in BOUNDED:
        bounded(what, 64)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = min(bounded(what, n) for _ in range(2))
        return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 0
    if what in NETWORK:
        whole_network(what, 64)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = whole_network(what, n)
        return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 0
    if what == "kts":
        from medbench.metrics.tasks.long_segmentation import segment_features

        features = scenes(n).astype(np.float32)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        changes = len(segment_features(features))
        seconds = time.process_time() - started
        return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, changes
    attention(what, 64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = min(attention(what, n) for _ in range(2))
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 0


def measured(what, n):
    """The same in a process of its own."""
    output = subprocess.run(
        [sys.executable, __file__, "--one", what, str(n)], check=True, capture_output=True, text=True
    ).stdout
    seconds, mebibytes, changes = output.split()
    return float(seconds), float(mebibytes), int(changes)


def segmentation():
    """Lines on kernel temporal segmentation."""
    from medbench.metrics.tasks.long_segmentation import segment_features

    print("## Kernel temporal segmentation, 1,024 channels, every number of changes\n")
    print("| sampled frames | shots | time, s | memory, MiB |\n|---|---|---|---|")
    for n in (1000, 2000, 5000, 10000):
        seconds, mebibytes, changes = measured("kts", n)
        print(f"| {n:,} | {changes + 1} | {seconds:.2f} | {mebibytes:.0f} |", flush=True)
    print("\n### Beside the double loop, the same changes\n")
    print("| sampled frames | double loop, s | ours, s | ratio |\n|---|---|---|---|")
    for n in (200, 400, 800):
        features = scenes(n)
        started = time.process_time()
        expected = double_loop(features @ features.T, n - 1)
        slow = time.process_time() - started
        fast = []
        for _ in range(3):
            started = time.process_time()
            ours = segment_features(features).tolist()
            fast.append(time.process_time() - started)
        assert ours == expected
        print(f"| {n} | {slow:.2f} | {min(fast):.4f} | {slow / min(fast):.0f} |", flush=True)


def one_layer():
    """Lines on the attention of one layer."""
    print(f"## Attention of one layer, 8 heads, window 16, every {GLOBAL_EVERY}th frame global\n")
    print("Dense computes every pair and masks; published has the authors' mask and order of memory.\n")
    print("| frames | dense, s | MiB | published, s | MiB | ours, s | MiB |")
    print("|---|---|---|---|---|---|---|")
    for n in (1000, 2000, 4000, 8000, 16000):
        cells = []
        for kind in ("dense", "published", "corrected"):
            seconds, mebibytes, _ = measured(kind, n)
            cells.append(f"{seconds:.3f} | {mebibytes:.0f}")
        print(f"| {n:,} | {' | '.join(cells)} |", flush=True)


def networks():
    """Lines on the whole network."""
    print("## The whole network, one video, every frame in the decoder, every 7th frame global\n")
    print(
        "`fulltransnet --set length=FRAMES`, float32. Causal and cross attention of the decoder look at every"
    )
    print("pair of frames, so that the time grows with the square of the length. What a training step keeps")
    print("is linear in the length: no matrix of frames by frames is ever held.\n")
    print("| frames | prediction, s | MiB | MiB a frame | training step, s | MiB | MiB a frame |")
    print("|---|---|---|---|---|---|---|")
    steps = []
    for n in (1000, 5000, 10000, 20000):
        cells = []
        for what in NETWORK:
            seconds, mebibytes, _ = measured(what, n)
            cells.append(f"{seconds:.1f} | {mebibytes:.0f} | {mebibytes / n:.3f}")
        steps.append((n, mebibytes))
        print(f"| {n:,} | {' | '.join(cells)} |", flush=True)
    print(f"\n{growth(steps)}")


def growth(steps):
    """How memory grows from the second length to the last, as a power of the length."""
    (first, small), (last, large) = steps[1], steps[-1]
    power = np.log(large / small) / np.log(last / first)
    verdict = "linear but for what the allocator keeps" if power < 1.25 else "not linear"
    return (
        f"From {first:,} to {last:,} frames the memory of a training step grows with the length to the\n"
        f"power {power:.2f} (1 is linear, 2 quadratic): it is {verdict}."
    )


def bound():
    """Lines on bounds on the global frames and on those of the decoder."""
    print(f"## Bounds: `--set most_global_frames={BOUND} --set most_decoder_frames={DECODER_BOUND}`\n")
    print(f"Every {GLOBAL_EVERY}th frame is global (14 %), and all are taken in the exact form, the default.")
    print("The decoder of a prediction is given every frame by default, here no more than its bound.\n")
    lengths = (500, 1000, 2000, 4000, 8000, 16000)
    print(f"| seconds | {' | '.join(f'{n:,}' for n in lengths)} | 500 to 4,000 | 500 to 16,000 |")
    print("|---" * (len(lengths) + 3) + "|")
    for what in BOUNDED:
        upto = [n for n in lengths if what == "encoder, bounded" or n <= 4000]
        seconds = {n: measured(what, n)[0] for n in upto}
        cells = [f"{seconds[n]:.3f}" if n in seconds else "" for n in lengths]
        powers = [
            f"n^{math.log(seconds[n] / seconds[500]) / math.log(n / 500):.2f}" if n in seconds else ""
            for n in (4000, 16000)
        ]
        print(f"| {what} | {' | '.join([*cells, *powers])} |", flush=True)


PARTS = {"segmentation": segmentation, "attention": one_layer, "bound": bound, "network": networks}


def main():
    """Write the page, or one of its parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", nargs=2)
    parser.add_argument("--part", choices=PARTS)
    options = parser.parse_args()
    if options.one:
        print(*measure(options.one[0], int(options.one[1])))
        return
    if options.part:
        PARTS[options.part]()
        return
    print("# Video summaries: segmentation, attention and the whole network by length\n")
    print("One process and one thread a figure, CPU seconds; memory is the peak above the state before.")
    print("Measured by `OMP_NUM_THREADS=1 python speed/summaries.py` on a shared machine.")
    for part in PARTS.values():
        print()
        part()


if __name__ == "__main__":
    main()
