"""DSSAU-Net and its dual sparse selection attention, a page of their own of ``benchmarks/models.py``.

python benchmarks/sparse_attention.py --repeats 15 --write
"""

from __future__ import annotations

from pathlib import Path

from models import run
from models_plain_dssau_net import pairs

HEADING = """# DSSAU-Net and its sparse attention against a plain transcription

Written by `python benchmarks/sparse_attention.py --write`; the transcription is `models_plain_dssau_net.py`.
A training step of the network is forward, backward and an AdamW step; of the attention, forward and backward.
"""

if __name__ == "__main__":
    run(pairs(), Path(__file__).with_suffix(".md"), HEADING)
