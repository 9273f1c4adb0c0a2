"""Share of a pre-training step that clustering and sampling of sentences take."""

import argparse
import platform
import random
import statistics
import time

import torch

import medbench
from medbench.models.cm_cgns.alignment_losses import SentenceLoss
from medbench.models.cm_cgns.pretraining_network import Pairs

BATCH, SENTENCES, TOKENS, CLUSTERS = 64, 5, 64, 128


def batch(side, vocabulary):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, side, side, generator=generator)
    ids = torch.randint(1, vocabulary, (BATCH, TOKENS), generator=generator)
    numbers = torch.full((BATCH, TOKENS), -1)
    for sentence in range(SENTENCES):
        numbers[:, 1 + 10 * sentence : 11 + 10 * sentence] = sentence + 1
    return Pairs(images, ids, torch.ones_like(ids), numbers)


def timed(function, repeats):
    spent = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        spent.append(time.process_time() - started)
    return statistics.median(spent)


def guidance_seconds(width, repeats):
    """Update, assignment, hard and false negatives of 320 sentences, and their part of the loss."""
    torch.manual_seed(0)
    clusters = medbench.create_model("cm_cgns.clusters", num_clusters=CLUSTERS, width=width)
    loss = SentenceLoss()
    vectors = [torch.nn.functional.normalize(torch.randn(BATCH * SENTENCES, width), dim=1) for _ in range(2)]
    clusters.initialise(vectors[1], 0)
    own = torch.arange(len(vectors[0]))

    def guided():
        first = vectors[0].clone().requires_grad_(True)
        loss(clusters, first, vectors[1], random.Random(0).randrange).backward()

    def plain():
        first = vectors[0].clone().requires_grad_(True)
        torch.nn.functional.cross_entropy(first @ vectors[1].T, own).backward()

    guided()
    return max(0.0, timed(guided, repeats) - timed(plain, repeats))


def step_seconds(options, side, repeats):
    network = medbench.create_model("cm_cgns.pretraining", image_size=side, **options).train()
    pairs = batch(side, options.get("vocabulary_size", 28996))
    mask = network.image_decoder.draw_mask(BATCH, options.get("width", 768), 0)

    def step():
        network.zero_grad()
        sum(network(pairs, mask)).backward()

    step()
    return timed(step, repeats)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--published", action="store_true", help="also the paper's sizes (many minutes)")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    small = {
        "widths": [16, 32, 64, 128],
        "width": 768,
        "text_depth": 2,
        "text_hidden": 768,
        "vocabulary_size": 4096,
    }
    rows = [("a thin ResNet, 2 layers of text, 64 pixels", small, 64)]
    if arguments.published:
        rows.append(("the paper's, 224 pixels", {}, 224))
    print(f"Batch {BATCH}, {BATCH * SENTENCES} sentences, {CLUSTERS} clusters, width 768, one thread;")
    print(
        f"seconds of processor time, median of {arguments.repeats}. "
        f"torch {torch.__version__}, {platform.machine()}.\n"
    )
    print("| network | clustering and sampling | whole step | share |\n|---|---|---|---|")
    for name, options, side in rows:
        guidance = guidance_seconds(options.get("width", 768), 5 * arguments.repeats)
        step = step_seconds(options, side, arguments.repeats)
        print(f"| {name} | {guidance:.4f} | {step:.2f} | {100 * guidance / step:.2f} % |", flush=True)


if __name__ == "__main__":
    main()
