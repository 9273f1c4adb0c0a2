"""MyoPS 2020: scar and oedema of the myocardium in three registered cardiac MR modalities, MICCAI 2020.

Slices lie 10 to 20 mm apart, so networks see single slices; HD95 in mm hardly depends on the third axis.
"""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.myops2020.exchange import MyoPSExchange
from medbench.challenges.myops2020.files import MyoPSRelease
from medbench.challenges.myops2020.scoring import FAILURE_RULE, METRICS, MyoPSScorer

CARD = Card(
    name="myops2020",
    title="MyoPS 2020",
    summary="segmentation of myocardial scar and oedema in bSSFP, LGE and T2 cardiac MR",
    labels={
        0: "background",
        200: "normal myocardium",
        500: "left ventricular blood pool",
        600: "right ventricular blood pool",
        1220: "oedema",
        2221: "scar",
    },
    metrics=METRICS,
    failure_rule=FAILURE_RULE,
    modalities={"C0": ("bssfp",), "DE": ("lge",), "T2": ("t2w",)},
    modality_combinations=(
        ("T2",),
        ("DE",),
        ("C0",),
        ("DE", "T2"),
        ("C0", "DE"),
        ("C0", "T2"),
        ("C0", "DE", "T2"),
    ),
    citation=(
        "Li et al.: MyoPS: a benchmark of myocardial pathology segmentation combining three-sequence cardiac "
        "magnetic resonance images, Medical Image Analysis 87, 2023, doi 10.1016/j.media.2023.102808"
    ),
    bibtex="""@article{li2023myops,
  title = {{MyoPS}: A benchmark of myocardial pathology segmentation combining three-sequence cardiac magnetic
           resonance images},
  author = {Li, Lei and Wu, Fuping and Wang, Sihan and Luo, Xinzhe and others},
  journal = {Medical Image Analysis},
  volume = {87},
  pages = {102808},
  year = {2023},
  doi = {10.1016/j.media.2023.102808}
}""",
    license="by registration with the organisers; CC BY-NC-ND by a participant's copy; no redistribution",
    homepage="https://zmiclab.github.io/zxh/0/myops20/",
    published_file=Path(__file__).parent / "published.toml",
)


def myops2020() -> Challenge:
    """Segmentation of myocardial scar and oedema."""
    release = MyoPSRelease(CARD)
    return Challenge(CARD, release, MyoPSExchange(CARD, release), MyoPSScorer(CARD, release))
