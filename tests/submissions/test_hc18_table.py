"""HC18's table: built, rehearsed, saved, linted."""

import shutil

import pytest

from medbench.core.errors import MedbenchError
from medbench.submissions.build.context import build_context
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.platforms import load_platform, platform_for
from medbench.submissions.rehearse.rehearsal import rehearse
from medbench.submissions.workflow import check, save

HEADER = "filename,center_x_mm,center_y_mm,semi_axes_a_mm,semi_axes_b_mm,angle_rad"


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Three images of the test set."""
    from medbench.challenges.hc18.sample import write_sample

    root = tmp_path_factory.mktemp("hc18")
    names = {"training_set": ["001_HC"], "test_set": ["000_HC", "001_HC", "002_HC"]}
    write_sample(root, names, size=(135, 200))
    return root


@pytest.fixture(scope="module")
def table(release, one_thread, save_weights, write_toml, tmp_path_factory):
    import torch

    folder = tmp_path_factory.mktemp("table")
    save_weights(folder / "w.pt", "dssau_net.test", in_channels=3, num_classes=2)
    state = torch.load(folder / "w.pt", weights_only=True)
    name = [key for key in state["state_dict"] if key.endswith("bias")][-1]
    state["state_dict"][name].copy_(torch.tensor([-1.0, 1.0]))
    torch.save(state, folder / "w.pt")
    file = write_toml(folder, "hc18", "hc18", "dssau_net.test", 64, "w.pt")
    return build_context(BuildRequest(file, data=release, output=folder / "build")), file


def test_the_table_has_a_row_for_every_image_as_medbench_run_predicts_it(table, release):
    built, file = table
    result = rehearse(built)
    assert result.passed, result.findings
    assert result.identical == len(result.cases) == 3
    lines = list(save(file, built.folder.parent, "none"))
    path = built.folder / "tiny.csv"
    assert lines[0].startswith(str(path))
    header, *rows = path.read_text().splitlines()
    assert header == HEADER
    assert [row.split(",")[0] for row in rows] == sorted(p.name for p in (release / "test_set").glob("*.png"))
    (finding,) = check(file, None, built.folder.parent)[0]
    assert (finding.rule, finding.severity) == ("table.rows", "warning")


@pytest.mark.parametrize(
    ("rows", "rules"),
    [
        (["000_HC.png,1,2,30,20,0.5"], ["table.rows"]),
        (["000_HC.png,1,2,30,20,0.5"] * 2, ["table.repeated", "table.rows"]),
        (["000_HC.png,1,2,20,30,0.5"], ["table.rows", "table.ellipse"]),
        (["000_HC.png,1,2,nan,30,0.5"], ["table.rows", "table.ellipse"]),
        (["000_HC.png,1,2,30,x,0.5"], ["table.rows", "table.ellipse"]),
        (["000_HC.png,1,2,30,20,3.5"], ["table.rows", "table.ellipse"]),
        ([f"{number:03d}_HC.png,1,2,30,20,0" for number in range(335)], []),
    ],
)
def test_rules_on_tables(tmp_path, rows, rules):
    path = tmp_path / "a.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    found = list(load_platform("hc18").lint_table(path))
    assert [finding.rule for finding in found] == rules
    assert all(finding.advice for finding in found)


def test_other_columns_are_refused_and_the_platform_is_found(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("filename,x\n000_HC.png,1\n")
    assert [finding.rule for finding in load_platform("hc18").lint_table(path)] == ["table.columns"]
    assert platform_for("hc18") == "hc18"


def test_a_table_without_every_image_is_not_written(table, release, tmp_path):
    _built, file = table
    partial = shutil.copytree(release, tmp_path / "partial")
    sizes = partial / "test_set_pixel_size.csv"
    lines = sizes.read_text().splitlines()
    sizes.write_text("\n".join(lines[:2]) + "\n")
    with pytest.raises(MedbenchError):
        build_context(BuildRequest(file, data=partial, output=tmp_path / "build"))
    assert not list(tmp_path.rglob("hc18.csv"))
