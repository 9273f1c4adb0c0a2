"""Every name of ``medbench models`` has a challenge on whose sample ``medbench run`` ends with 0."""

import glob

import numpy as np
import pytest
from typer.testing import CliRunner

from medbench.challenges import list_challenges, load_challenge
from medbench.cli.main import app
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json
from medbench.io.nifti_mha import write_volume
from medbench.models import list_models, model_entries, model_entry
from medbench.running.networks import match

PREFERRED = ("cvc_clinicdb", "brain_tumor_mri", "brats2020", "summe", "iugc2025")
"""Challenges whose samples are small here; another one draws its whole sample."""
CANNOT_RUN: dict[str, str] = {}
"""Name -> why no challenge can run it."""
SMALL = {
    "monai/unet": {"channels": "[8,8]", "num_res_units": "0"},
    "monai/segresnet": {"init_filters": "8", "blocks_down": "[1,1]", "blocks_up": "[1]"},
    "monai/swinunetr": {"feature_size": "12"},
    "smp/segformer": {"encoder": "mit_b0"},
    "smp/dpt": {"encoder": "tu-vit_tiny_patch16_224"},
}
ELSEWHERE = {
    "cm_cgns.zero_shot": "runs by run -m cm_cgns --prompts after a pre-training: test_pretrain.py",
    "nnunet.test": "is trained and run in tests/nnunet",
}
FIXED_SIDE = {
    "cm_cgns.classifier.vit_base": 224,
    "timm/deit_small_patch16_224": 224,
    "timm/swin_tiny_patch4_window7_224": 224,
}

pytestmark = pytest.mark.usefixtures("one_thread")


def tiny(name):
    """The tiny variant of the model's family that answers the same, else the model itself."""
    entry = model_entry(name)
    variants = [
        other.name
        for other in model_entries(f"{entry.family}*.test")
        if other.family == entry.family and other.offers.keys() == entry.offers.keys()
    ]
    return variants[0] if variants and not entry.sees_reference else name


def challenge_of(name):
    """The first challenge that the model serves; ``None`` without one."""
    entry = model_entry(name)
    for challenge in map(load_challenge, (*PREFERRED, *list_challenges())):
        try:
            form = match(entry, challenge)
        except MedbenchError:
            continue
        if not entry.sees_reference or form in challenge.exchange.inputs_with_reference:
            return challenge.name
    return None


def heads(root):
    noise = np.random.default_rng(0)
    for split, number in (("train", 1), ("val", 7), ("test", 9)):
        case = f"BraTS20_Training_{number:03}"
        labels = np.zeros((24, 32, 32), np.uint8)
        labels[8:16, 10:20, 10:20], labels[10:14, 12:16, 12:16] = 2, 4
        for modality in ("t1", "t1ce", "t2", "flair"):
            image = noise.integers(1, 200, labels.shape).astype(np.int16) + np.int16(300) * labels
            write_volume(root / split / case / f"{case}_{modality}.nii.gz", Volume(image, (1.0,) * 3))
        write_volume(root / split / case / f"{case}_seg.nii.gz", Volume(labels, (1.0,) * 3))


@pytest.fixture(scope="module")
def samples(small_cvc, tmp_path_factory):
    """Challenge -> a small copy that counts as the synthetic sample, drawn on first use."""
    from medbench.challenges.brain_tumor_mri.sample import write_sample as slices
    from medbench.challenges.iugc2025.sample import write_sample as landmarks

    small = {
        "brain_tumor_mri": lambda root: slices(root, {"train": 2, "test": 1}),
        "brats2020": heads,
        "iugc2025": lambda root: landmarks(root, {"train": 2, "val": 1, "test": 1}, side=64),
    }
    roots = {}

    def sample(name):
        if name not in roots:
            root = small_cvc if name == "cvc_clinicdb" else tmp_path_factory.mktemp(name)
            if name != "cvc_clinicdb":
                small.get(name, lambda root: load_challenge(name).release.draw_sample(root, {}))(root)
                write_json(root / "medbench-sample.json", {"challenge": name})
            roots[name] = root
        return roots[name]

    return sample


def arguments(name, challenge, root):
    """The command of one case by fresh weights, as small as the model lets it be."""
    entry = model_entry(name)
    case = load_challenge(challenge).cases(root, load_challenge(challenge).release.default_split)[0]
    words = ["run", "-m", name, "-c", challenge, "--data", str(root), "--cases", glob.escape(case.id)]
    if entry.framework:
        return words
    form = match(entry, load_challenge(challenge))
    side = {"volume": 32}.get(form, FIXED_SIDE.get(name, max(64, entry.min_size)))
    words += ["--weights", "none"]
    words += ["--image-size", str(side)] if form != "sequence" else []
    words += ["--overlap", "0"] if form == "volume" else []
    options = SMALL.get(name, {"encoder": "resnet18"} if name.startswith("smp/") else {})
    return words + [word for pair in options.items() for word in ("--set", "=".join(pair))]


def training(name, challenge, root):
    """The command that fits a framework's model before it can run."""
    words = ["train", "-m", name, "-c", challenge, "--data", str(root), "--recipe", "quick"]
    settings = {"epochs": 1, "steps": 1, "validation_steps": 1, "image_size": 32} if "nnunet" in name else {}
    return words + [word for key, value in settings.items() for word in ("--recipe-set", f"{key}={value}")]


def test_every_name_has_a_challenge_or_a_declared_reason():
    lacking = [name for name in list_models() if challenge_of(tiny(name)) is None]
    assert sorted(lacking) == sorted(CANNOT_RUN)
    assert all(CANNOT_RUN.values())


def test_a_tiny_variant_serves_what_its_family_serves():
    for name in list_models():
        assert model_entry(tiny(name)).offers.keys() == model_entry(name).offers.keys()
        assert model_entry(tiny(name)).forms == model_entry(name).forms


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({tiny(name) for name in list_models()} - {*CANNOT_RUN, *ELSEWHERE}))
def test_run_ends_with_0(samples, name):
    challenge = challenge_of(name)
    root, runner = samples(challenge), CliRunner()
    if model_entry(name).framework:
        done = runner.invoke(app, training(name, challenge, root))
        assert done.exit_code == 0, done.output
    done = runner.invoke(app, arguments(name, challenge, root))
    assert done.exit_code == 0, done.output
    assert "1 of 1 case scored, 0 failed, 0 missing." in done.output
