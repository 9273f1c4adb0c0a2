"""Two processes compute what one computes on their joint batch."""

import os
import random
import socket

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

import medbench
from medbench.models.blocks.gathering import SharedBatchNorm2d
from medbench.models.cm_cgns.pretraining_network import Pairs
from medbench.training.pretraining_task import freeze_unused, step_mask
from warm_process import CONTEXT

OPTIONS = {
    "image_size": 64,
    "widths": [2, 2, 2, 4],
    "depths": [1, 1, 1, 1],
    "width": 16,
    "num_clusters": 3,
    "text_depth": 1,
    "text_heads": 2,
    "text_hidden": 16,
    "vocabulary_size": 32,
    "max_tokens": 24,
    "decoder_widths": [4, 4, 4, 4],
    "dropout": 0.0,
}
PAIRS, STEPS = 8, 3
KINDS = {
    "default": {},
    "contrastive": {"guidance": "none", "reconstruct": False},
    "published": {"form": "published"},
}


def network(**options):
    torch.manual_seed(0)
    made = medbench.create_model("cm_cgns.pretraining", **{**OPTIONS, **options}).double().train()
    SharedBatchNorm2d.replace_in(made)
    freeze_unused(made, 2 if made.image_decoder is not None else 1)
    return made


def joint_batch(step):
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(PAIRS, 3, 64, 64, generator=generator).double()
    ids = torch.randint(1, 32, (PAIRS, 24), generator=generator)
    counts = [2, 1, 3, 2, 4, 1, 2, 3]  # the two halves differ in their longest report
    numbers = torch.full((PAIRS, 24), -1)
    for row, count in enumerate(counts):
        for sentence in range(count):
            numbers[row, 1 + 4 * sentence : 5 + 4 * sentence] = sentence + 1
    return Pairs(images, ids, (numbers != -1).long().index_fill(1, torch.tensor([0]), 1), numbers)


def run(made, inner, part):
    """Losses and gradients of successive steps without an update; the clusters carry over."""
    steps = []
    for step in range(STEPS):
        made.zero_grad()
        inner.alignment.draw_first = random.Random(step).randrange
        pairs = Pairs(*(tensor[part] for tensor in joint_batch(step)))
        mask = None if inner.image_decoder is None else step_mask(inner, len(pairs.images), 5)
        losses = made(pairs, mask)
        sum(losses).backward()
        gradients = {
            name: parameter.grad.clone()
            for name, parameter in inner.named_parameters()
            if parameter.requires_grad
        }
        steps.append(([float(value) for value in losses], gradients))
    return steps


def worker(rank, port, queue):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    half = slice(rank * PAIRS // 2, (rank + 1) * PAIRS // 2)
    answers = {}
    for name, options in KINDS.items():
        inner = network(**options)
        steps = run(DistributedDataParallel(inner), inner, half)
        plain = [(losses, {k: v.numpy() for k, v in gradients.items()}) for losses, gradients in steps]
        answers[name] = (plain, inner.alignment.clusters.centroid.numpy())
    queue.put((rank, answers))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def answers():
    """What two processes compute, by kind of network: for each process its steps and its centroids."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    queue = CONTEXT.SimpleQueue()
    processes = [CONTEXT.Process(target=worker, args=(rank, port, queue)) for rank in (0, 1)]
    for process in processes:
        process.start()
    both = dict(queue.get() for _ in processes)
    for process in processes:
        process.join(60)
    return {kind: [both[rank][kind] for rank in (0, 1)] for kind in KINDS}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_equal_one_on_the_joint_batch(kind, answers):
    alone = network(**KINDS[kind])
    reference = run(alone, alone, slice(0, PAIRS))
    for step, (losses, gradients) in enumerate(reference):
        both = np.array([steps[step][0] for steps, _ in answers[kind]])
        np.testing.assert_allclose(both[:, 1:3], np.tile(losses[1:3], (2, 1)), atol=1e-9)
        np.testing.assert_allclose(both.mean(axis=0), losses, atol=1e-9)
        for name, gradient in gradients.items():
            for steps, _ in answers[kind]:
                np.testing.assert_allclose(steps[step][1][name], gradient.numpy(), atol=1e-9, err_msg=name)
    assert alone.alignment.clusters.initialised == (kind != "contrastive")
    for _, centroids in answers[kind]:
        np.testing.assert_allclose(centroids, alone.alignment.clusters.centroid.numpy(), atol=1e-9)
