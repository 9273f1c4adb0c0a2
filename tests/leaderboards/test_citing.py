"""Citations of models and challenges."""

import json
import re

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from medbench.challenges import list_challenges, load_challenge
from medbench.cli.main import app
from medbench.core.errors import MedbenchError
from medbench.models import list_models
from medbench.running.cite import cite
from medbench.running.declaring import declare

runner = CliRunner()


@pytest.mark.parametrize("name", [*list_challenges(), *list_models()])
def test_everything_has_an_entry_with_balanced_braces_and_a_licence(name):
    (citation,) = cite([name])
    assert re.match(r"@\w+\{[a-z0-9-]+,\n", citation.bibtex)
    assert citation.bibtex.count("{") == citation.bibtex.count("}")
    for entry in citation.bibtex.split("\n\n"):
        assert "title = {" in entry
        assert entry.rstrip().endswith("}")
    assert citation.licence


def test_a_model_cites_its_paper_and_code():
    (citation,) = cite(["dssau_net"])
    assert "eprint = {2506.03684}" in citation.bibtex
    assert "year = {2025}" in citation.bibtex
    assert "archivePrefix = {arXiv}" in citation.bibtex
    assert "XiaZunhui/DSSAU-Net@ce1d11d" in citation.origin


def test_a_challenge_cites_its_data_with_the_licence():
    (citation,) = cite(["cvc_clinicdb"])
    assert citation.licence == load_challenge("cvc_clinicdb").card.license
    assert "10.1016/j.compmedimag.2015.02.007" in citation.bibtex


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(MedbenchError) as caught:
        cite(["cvc_clinic"])
    assert "cvc_clinicdb" in caught.value.hint


def test_the_command_prints_entries_and_json():
    done = runner.invoke(app, ["cite", "dssau_net", "isic2018"], catch_exceptions=False)
    assert done.stdout.count("@") >= 3
    assert "CC BY-NC 4.0" in done.stdout
    listing = json.loads(runner.invoke(app, ["cite", "smp/unet", "--json"], catch_exceptions=False).stdout)
    assert listing[0]["kind"] == "model"


def test_own_data_without_an_address_are_cited_without_one(tmp_path, monkeypatch):
    for number in range(8):
        for kind in ("images", "masks"):
            path = tmp_path / "png" / kind / f"p{number}_a.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = np.zeros((16, 16, 3) if kind == "images" else (16, 16), np.uint8)
            image[2:9, 2:9] = 255
            cv2.imwrite(str(path), image)
    monkeypatch.chdir(tmp_path)
    declare(tmp_path / "png", "our_polyps")
    (citation,) = cite(["our_polyps"])
    assert "howpublished" not in citation.bibtex
    assert "our\\_polyps" in citation.bibtex
    told = runner.invoke(app, ["cite", "our_polyps"], catch_exceptions=False).stdout
    assert told.startswith("% our_polyps: licence of the data: not stated\n")


def test_a_name_that_nobody_has_is_refused_without_a_list_of_all():
    with pytest.raises(MedbenchError, match="no model and no challenge named 'qqq'") as refusal:
        cite(["qqq"])
    assert refusal.value.hint == "'medbench models' and 'medbench challenges' list the names."
    with pytest.raises(MedbenchError) as refusal:
        cite(["hc"])
    assert refusal.value.hint == "Did you mean hc18?"
