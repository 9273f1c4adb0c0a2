"""How to cite CVC-ClinicDB, its licence and its page."""

from __future__ import annotations

CITATION = (
    "Bernal, Sánchez, Fernández-Esparrach, Gil, Rodríguez, Vilariño: WM-DOVA maps for accurate polyp "
    "highlighting in colonoscopy. Computerized Medical Imaging and Graphics 43 (2015), "
    "doi 10.1016/j.compmedimag.2015.02.007"
)
BIBTEX = """@article{bernal2015wmdova,
  title = {{WM-DOVA} maps for accurate polyp highlighting in colonoscopy: Validation vs. saliency maps from
           physicians},
  author = {Bernal, Jorge and S{\\'a}nchez, F. Javier and Fern{\\'a}ndez-Esparrach, Gloria and Gil, Debora and
            Rodr{\\'i}guez, Cristina and Vilari{\\~n}o, Fernando},
  journal = {Computerized Medical Imaging and Graphics},
  volume = {43},
  pages = {99--111},
  year = {2015},
  doi = {10.1016/j.compmedimag.2015.02.007}
}"""
LICENSE = "research and education only; no redistribution"
HOMEPAGE = "https://polyp.grand-challenge.org/CVCClinicDB/"
