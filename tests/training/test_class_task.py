"""Learning classes of whole images: DeiT's parts, class balance, resuming, networks with several outputs."""

import numpy as np
import pytest
import torch
from timm.loss import SoftTargetCrossEntropy
from torch import nn
from torch.nn import functional

from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.core.sample import TrainingImage
from medbench.inference.predictor import InputContract
from medbench.inference.weights import load_checkpoint
from medbench.training.class_data import ImageClassData, drawing
from medbench.training.class_task import ImageClassTask, class_weights
from medbench.training.fit import Hardware, Learner, fit
from medbench.training.recipes import ImageClassRecipe, list_recipes, load_recipe
from medbench.training.result_files import training_summary

CONTRACT = InputContract(32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
COUNTS = (12, 6, 2)


def image_of(index, image_class):
    """A colour a class, with some noise."""

    def load(size):
        generator = np.random.default_rng(index)
        image = generator.integers(0, 120, (size, size, 3), np.uint8)
        image[..., image_class] += 120
        return image, None

    return TrainingImage(f"image{index}", f"group{index}", load, False, image_class)


@pytest.fixture(scope="module")
def images():
    classes = [k for k, count in enumerate(COUNTS) for _ in range(count)]
    return [image_of(index, image_class) for index, image_class in enumerate(classes)]


def network(classes=3):
    features = (nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(8, classes))


def recipe_of(name="deit", **changes):
    return load_recipe("image_classes", name, **{"image_size": 32, "batch_size": 4, "epochs": 2, **changes})


def train(images, folder, recipe, build=network, **learner):
    settings = {"tasks": ("image_classes",), "learns": ("image_classes",), **learner}
    facts = {"options": {}, "challenge": "brain_tumor_mri", "split": "train", "data": "sample"}
    facts["manifest_sha256"] = ""
    return fit(
        Learner(build, CONTRACT, 3, **settings),
        images,
        recipe,
        folder,
        facts,
        hardware=Hardware("cpu", 1),
        progress=SilentProgress(),
    )


def test_the_authors_recipe_is_deits():
    recipe = load_recipe("image_classes", "deit")
    assert isinstance(recipe, ImageClassRecipe)
    assert (recipe.optimizer, recipe.epochs, recipe.warmup_epochs, recipe.weight_decay) == (
        "adamw",
        300,
        5,
        0.05,
    )
    assert (recipe.mixup, recipe.cutmix, recipe.label_smoothing, recipe.erasing) == (0.8, 1.0, 0.1, 0.25)
    assert recipe.rand_augment == "rand-m9-mstd0.5-inc1"
    assert recipe.rate() == pytest.approx(8.79e-5, rel=1e-3)
    assert load_recipe("image_classes", "deit", batch_size=512).rate() == pytest.approx(5e-4)
    assert list_recipes("image_classes") == ["deit", "linear_probe", "default", "quick"]


def test_the_rate_warms_up_and_falls_as_the_authors_program_has_it(images, tmp_path):
    rates = []

    class Watched(ImageClassTask):
        def on_train_epoch_start(self):
            rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    recipe = recipe_of(epochs=12, warmup_epochs=5)
    data = ImageClassData(images, recipe, CONTRACT, 3)
    task = Watched(network(), recipe, 3, 60)
    from lightning.pytorch import Trainer

    trainer = Trainer(
        accelerator="cpu", devices=1, max_epochs=12, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=str(tmp_path),
    )  # fmt: skip
    trainer.fit(task, datamodule=data)
    peak, first = recipe.rate(), recipe.first_rate
    due = [first, *(first + epoch * (peak - first) / 5 for epoch in range(5))]
    due += [
        recipe.last_rate + 0.5 * (peak - recipe.last_rate) * (1 + np.cos(np.pi * epoch / 12))
        for epoch in range(5, 11)
    ]
    assert rates == pytest.approx(due)


def test_targets_are_mixed_and_smoothed_as_timm_does(images):
    recipe = recipe_of()
    task = ImageClassTask(network(), recipe, 3, 10)
    batch = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 1, 2, 0])
    mixed, targets = task.targets(batch, classes)
    again, _ = task.targets(batch, classes)
    assert torch.equal(mixed, again)
    assert not torch.equal(mixed, batch)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))
    assert float(targets.min()) == pytest.approx(0.1 / 3)
    logits = torch.randn(4, 3)
    torch.testing.assert_close(
        functional.cross_entropy(logits, targets), SoftTargetCrossEntropy()(logits, targets)
    )
    odd, targets = task.targets(batch[:3], classes[:3])
    assert torch.equal(odd, batch[:3])
    torch.testing.assert_close(targets[0], torch.tensor([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3]))


def test_augmentation_depends_on_seed_epoch_and_place_alone(images):
    data = ImageClassData(images, recipe_of(erasing=1.0), CONTRACT, 3).dataset
    state = np.random.get_state()[1].copy()
    first, image_class = data[0, 3]
    assert image_class == 0
    assert np.array_equal(np.random.get_state()[1], state)
    data[0, 5]
    assert torch.equal(data[0, 3][0], first)
    assert not torch.equal(data[1, 3][0], first)
    plain = data[-1, 3][0]
    assert torch.equal(plain, torch.from_numpy(CONTRACT.prepare(images[3].load(32)[0][None])[0]))


def test_drawing_puts_the_generators_back():
    torch.manual_seed(0)
    np.random.seed(0)
    with drawing(7):
        first = torch.rand(1), np.random.rand()
    with drawing(7):
        assert (torch.rand(1), np.random.rand()) == first
    left = torch.rand(1), np.random.rand()
    torch.manual_seed(0)
    np.random.seed(0)
    assert (torch.rand(1), np.random.rand()) == left


@pytest.mark.parametrize("balance", ["none", "loss", "sampling"])
def test_classes_of_other_sizes(images, balance):
    recipe = recipe_of("quick", class_balance=balance)
    data = ImageClassData(images, recipe, CONTRACT, 3)
    assert data.class_counts == list(COUNTS)
    drawn = np.zeros(3)
    for epoch in range(60):
        data.sampler.set_epoch(epoch)
        for _, index in data.sampler:
            drawn[images[index].image_class] += 1
    assert drawn.sum() == 60 * sum(COUNTS)
    if balance == "sampling":
        np.testing.assert_allclose(drawn / drawn.sum(), 1 / 3, atol=0.06)
    else:
        np.testing.assert_array_equal(drawn, 60 * np.array(COUNTS))
    task = ImageClassTask(network(), recipe, 3, 10, class_counts=data.class_counts)
    if balance == "loss":
        torch.testing.assert_close(task.class_weights, class_weights(COUNTS))
        weighed = float((task.class_weights * torch.tensor(COUNTS)).sum())
        assert weighed == pytest.approx(sum(COUNTS))
    else:
        assert task.class_weights is None


def test_a_quick_training_learns_and_a_best_epoch_is_kept(images, tmp_path):
    recipe = recipe_of(
        "quick", epochs=30, validation="by_group", augmentation="flip_rotate", learning_rate=0.02
    )
    weights = train(images, tmp_path, recipe)
    summary = training_summary(tmp_path)
    assert summary["validation_balanced_accuracy"] > 0.6
    assert (summary["n_training_images"], summary["n_validation_images"]) == (16, 4)
    trained = network()
    trained.load_state_dict(load_checkpoint(weights).state)
    trained.eval()
    batch = torch.from_numpy(CONTRACT.prepare(np.stack([image.load(32)[0] for image in images])))
    with torch.inference_mode():
        right = trained(batch).argmax(dim=1).numpy() == [image.image_class for image in images]
    assert right.mean() > 0.8


@pytest.mark.parametrize("name", ["deit", "quick"])
def test_a_training_that_was_stopped_ends_with_the_same_weights(images, tmp_path, name):
    recipe = recipe_of(name, epochs=4, warmup_epochs=2)
    whole = load_checkpoint(train(images, tmp_path / "whole", recipe)).state

    class Stop(SilentProgress):
        steps = 0

        def advance(self, n=1, text=""):
            self.steps += n
            if self.steps > 12:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        fit(
            Learner(network, CONTRACT, 3, ("image_classes",), ("image_classes",)),
            images,
            recipe,
            tmp_path / "part",
            {"options": {}},
            hardware=Hardware("cpu", 1),
            progress=Stop(),
        )
    assert (tmp_path / "part" / "resume.ckpt").exists()
    resumed = load_checkpoint(train(images, tmp_path / "part", recipe)).state
    for key, tensor in whole.items():
        torch.testing.assert_close(resumed[key], tensor)


class TwoOutputs(nn.Module):
    """Label maps first, image classes second."""

    def __init__(self):
        super().__init__()
        self.segment, self.classify = nn.Conv2d(3, 2, 1), network()

    def forward(self, images):
        return self.segment(images), self.classify(images)


def test_the_right_output_of_a_network_with_several_is_learnt(images, tmp_path):
    recipe = recipe_of("quick", epochs=3)
    weights = train(images, tmp_path, recipe, TwoOutputs, tasks=("label_map", "image_classes"))
    state = load_checkpoint(weights).state
    torch.manual_seed(0)
    assert state["classify.5.weight"].shape == (3, 8)


def test_images_without_classes_teach_nothing(images):
    with pytest.raises(MedbenchError) as caught:
        ImageClassData([TrainingImage("a", "a", images[0].load, False)], recipe_of(), CONTRACT, 3)
    assert caught.value.code == "training.no_labels"
