"""What cards of the tasks of ISIC 2018 share."""

from __future__ import annotations

from typing import Any

ISIC_2018: dict[str, Any] = {
    "citation": (
        "Codella et al.: Skin Lesion Analysis Toward Melanoma Detection 2018, arXiv 1902.03368; Tschandl, "
        "Rosendahl, Kittler: The HAM10000 dataset. Scientific Data 5 (2018), doi 10.1038/sdata.2018.161"
    ),
    "bibtex": """@misc{codella2019isic,
  title = {Skin Lesion Analysis Toward Melanoma Detection 2018: A Challenge Hosted by the International Skin
           Imaging Collaboration ({ISIC})},
  author = {Codella, Noel and Rotemberg, Veronica and Tschandl, Philipp and others},
  year = {2019},
  eprint = {1902.03368},
  archivePrefix = {arXiv}
}

@article{tschandl2018ham10000,
  title = {The {HAM10000} dataset, a large collection of multi-source dermatoscopic images of common pigmented
           skin lesions},
  author = {Tschandl, Philipp and Rosendahl, Cliff and Kittler, Harald},
  journal = {Scientific Data},
  volume = {5},
  pages = {180161},
  year = {2018},
  doi = {10.1038/sdata.2018.161}
}""",
    "license": "CC BY-NC 4.0",
}
"""Papers and licence of the images."""
