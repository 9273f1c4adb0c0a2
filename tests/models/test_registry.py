import subprocess
import sys

import pytest
import torch
from torch import nn

import medbench
from medbench.core.errors import MedbenchError
from medbench.models import ModelEntry, ModelOption, list_models, model_entry, registry
from medbench.models.entry import read_card
from medbench.models.renaming import rename_parameters


@pytest.fixture
def fresh_registry():
    registry._registry.cache_clear()
    yield
    registry._registry.cache_clear()
    registry._factories.clear()


def test_listing_imports_no_torch():
    program = (
        "import sys, medbench.models as m; names = m.list_models(); [m.model_entry(n) for n in names]; "
        "assert len(names) > 10; assert not {'torch', 'timm', 'numpy'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_wildcards():
    assert list_models("dssau*") == ["dssau_net", "dssau_net.test"]
    assert set(list_models("smp/*")) < set(list_models())
    assert list_models("nothing*") == []


def test_every_card_is_complete():
    for name in list_models():
        entry = model_entry(name)
        assert entry.name == name
        assert entry.title
        assert entry.offers
        if not name.startswith("baseline/"):
            assert entry.paper
            assert entry.code
            assert entry.code_license
        assert entry.family
        assert entry.spatial_dims != 2 or len(entry.mean) == len(entry.std) == entry.in_channels
        assert entry.image_size % entry.size_divisor == 0
        assert entry.image_size >= entry.min_size
        assert all(option.help for option in entry.options.values())


def test_unknown_model_names_the_nearest():
    with pytest.raises(MedbenchError) as caught:
        model_entry("dsau_net")
    assert caught.value.code == "model.unknown"
    assert "dssau_net" in caught.value.hint


@pytest.mark.parametrize("name", ["dssau", "brau", "smp/unt", "dssau_net.tst"])
def test_tiny_variants_of_tests_are_never_suggested(name):
    with pytest.raises(MedbenchError) as caught:
        model_entry(name)
    assert caught.value.hint.startswith("Did you mean ")
    assert ".test" not in caught.value.hint


def test_unknown_option_names_the_nearest_and_lists_all():
    with pytest.raises(MedbenchError) as caught:
        medbench.create_model("dssau_net.test", num_classes=2, top_k=(1, 2, 3))
    assert caught.value.code == "model.option"
    assert "Did you mean topk" in caught.value.hint
    assert "n_win" in caught.value.hint


@pytest.mark.parametrize("wrong", [{"num_classes": 0}, {"num_classes": 2, "in_channels": 0}])
def test_counts_must_be_positive(wrong):
    with pytest.raises(MedbenchError, match="is not positive"):
        medbench.create_model("dssau_net.test", **wrong)


def test_aliases_mean_the_same_model():
    assert model_entry("smp/unetplusplus") is model_entry("smp/unet++")
    assert "smp/unetplusplus" not in list_models()


def test_a_plugin_registers_a_factory(fresh_registry):
    entry = ModelEntry("lab/tiny", "Tiny", options={"width": ModelOption(4, "channels")})

    @medbench.register_model(entry)
    def tiny(in_channels, num_classes, width=4):
        return nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.Conv2d(width, num_classes, 1))

    assert "lab/tiny" in list_models()
    network = medbench.create_model("lab/tiny", in_channels=1, num_classes=5, width=7)
    assert network(torch.zeros(1, 1, 2, 2)).shape == (1, 5, 2, 2)
    assert network[0].out_channels == 7
    with pytest.raises(MedbenchError, match="no option 'num_image_classes'"):
        medbench.create_model("lab/tiny", num_classes=5, num_image_classes=3)
    with pytest.raises(MedbenchError) as caught:
        medbench.official_state_dict("lab/tiny", {})
    assert caught.value.code == "model.no_official_keys"


def test_a_name_that_is_taken_is_refused(fresh_registry):
    with pytest.raises(MedbenchError) as caught:
        medbench.register_model(ModelEntry("dssau_net", "Another"))(lambda: None)
    assert caught.value.code == "model.clash"


def test_packages_add_models_by_entry_point(fresh_registry, tmp_path, monkeypatch):
    (tmp_path / "lab_models.py").write_text(
        "from medbench.models import ModelEntry\nENTRY = ModelEntry('lab/net', 'Lab', 'torch.nn:Identity')\n"
    )
    info = tmp_path / "lab_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: lab-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[medbench.models]\nlab/net = lab_models:ENTRY\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "lab/net" in list_models()
    assert model_entry("lab/net").title == "Lab"
    assert isinstance(medbench.create_model("lab/net", num_classes=2), nn.Identity)


@pytest.mark.parametrize(
    ("line", "code", "named"),
    [("colour = 'red'", "card.fact", "colour"), ("fixed_options = { widht = 3 }", "card.option", "widht")],
)
def test_cards_with_unknown_facts_are_refused(line, code, named, tmp_path):
    card = tmp_path / "lab.toml"
    card.write_text(f"title = 'Lab'\n[options.width]\ndefault = 1\nhelp = 'w'\n[variants.lab]\n{line}\n")
    with pytest.raises(MedbenchError) as caught:
        read_card(card)
    assert caught.value.code == code
    assert named in caught.value.message


def test_renaming_takes_the_first_place_that_fits_and_the_later_of_two():
    one, two = torch.zeros(1), torch.ones(1)
    renamed = rename_parameters(
        {"a.x.w": one, "b.a.x.w": two, "a.dead": one},
        "Lab",
        [(r"(b\.)?a\.x", "ours"), (r"a\.", "never")],
        [(r"\.w$", ".weight")],
        skip=r"a\.dead$",
    )
    assert renamed == {"ours.weight": two}
    with pytest.raises(MedbenchError, match="first: c"):
        rename_parameters({"c": one}, "Lab", [("a", "b")])
