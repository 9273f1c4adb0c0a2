"""Lightning modules: any network by a recipe, and segmentation joint with classes of whole images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional

from medbench.core.seeds import derived_seed
from medbench.training.data import IGNORED_LABEL, NO_IMAGE_CLASS
from medbench.training.division import Division
from medbench.training.epoch_keys import HeldOutBatches
from medbench.training.gradients import GradientGuard
from medbench.training.losses import SegmentationLoss, held_out_dice, segmentation_loss
from medbench.training.recipes import Recipe

HALVING_EPOCHS = 15


class NetworkTask(LightningModule):
    """Trains a network by a recipe, whatever it learns.

    Random numbers of a step (drop path) depend on the seed, the step's number and the process only, so that a
    resumed training equals an uninterrupted one. Nothing in a training step waits for the device.

    Attributes:
        validation_score: name of the figure that chooses the best epoch; more is better.
        guard: clips gradients and leaves out steps whose gradients are not finite.
        division: processes and passes that share a step's batch.
        step_size: examples of a step.
        scaler: of the loss, in half precision.
    """

    validation_score: ClassVar[str]

    def __init__(self, network: nn.Module, recipe: Recipe, num_classes: int, total_steps: int) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.num_classes = num_classes
        self.total_steps = total_steps
        self.still = still_modules(network, learns=recipe.learning_rate > 0)
        self.guard = GradientGuard()
        self.division = Division()
        self.step_size = 0
        self.scaler: torch.amp.GradScaler | None = None
        self._held_out: HeldOutBatches | None = None
        self._pass = 0

    def on_fit_start(self) -> None:
        """Learn from the trainer how a step's batch is shared."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        self.division = data.division
        self.step_size = data.step_batches().step_size
        self._held_out = data.held_out_batches()
        self.scaler = getattr(self.trainer.precision_plugin, "scaler", None)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step, and keep parts that do not learn as they are."""
        for module in self.still:
            module.eval()
        self._pass = batch_idx % self.division.passes
        torch.manual_seed(self.step_seed())

    def step_seed(self, *purpose: int) -> int:
        """Seed of this process's pass in this step, and of what it is for."""
        part = (self.division.process, self._pass) if self.division.parts > 1 else ()
        return derived_seed(self.recipe.seed, self.global_step, *part, *purpose)

    def shared(self, loss: Tensor, examples: int) -> Tensor:
        """A mean loss over some of a step's examples, weighted so that the step's is the mean over all."""
        if self.division.parts == 1:
            return loss
        return loss * self.division.weight(examples, self.step_size)

    def counts(self, batch_idx: int) -> bool:
        """Whether a validation batch is this process's own; processes with fewer repeat one."""
        return self._held_out is None or self._held_out.counts(batch_idx)

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the recipe, in any precision, and leave the step out where gradients are not finite.

        Raises:
            MedbenchError: ``training.diverged``.
        """
        plain = getattr(optimizer, "optimizer", optimizer)
        self.guard.before_step(plain, self.recipe.gradient_clip, self.scaler)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters in groups that decay and that do not, by the recipe's ``decay``."""
        return self.decay_groups(self.network.parameters())

    def decay_groups(self, parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
        """Those of the parameters that learn, in groups by the recipe's ``decay``."""
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        if self.recipe.decay == "all":
            return [{"params": learning}]
        return [
            {"params": [p for p in learning if p.ndim > 1]},
            {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def rate(self) -> float:
        """Peak rate of the optimizer for the recipe's batch, which all devices share."""
        return self.recipe.rate()

    def make_optimizer(self) -> torch.optim.Optimizer:
        """The recipe's optimizer."""
        recipe, groups = self.recipe, self.parameter_groups()
        settings: dict[str, Any] = {
            "lr": self.rate(),
            "weight_decay": recipe.weight_decay,
            "fused": True,
        }
        if recipe.optimizer == "sgd":
            return _with_momentum(torch.optim.SGD(groups, momentum=0.9, **settings))
        name, _, variant = recipe.optimizer.partition("_")
        kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
        return kind(groups, amsgrad=variant == "amsgrad", **settings)

    def configure_optimizers(self) -> Any:
        """The recipe's optimizer and schedule."""
        recipe, optimizer = self.recipe, self.make_optimizer()
        if recipe.schedule == "constant":
            return optimizer
        if recipe.schedule == "halving":
            halving = torch.optim.lr_scheduler.StepLR(optimizer, HALVING_EPOCHS, 0.5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": halving, "interval": "epoch"}}
        scheduler: torch.optim.lr_scheduler.LRScheduler
        if recipe.schedule == "cosine":
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.total_steps)
        elif recipe.schedule == "polynomial":
            scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, self.total_steps, power=0.9)
        else:
            scheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=self.rate(), total_steps=self.total_steps, pct_start=0.2
            )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _with_momentum(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer with a momentum of 0 for every parameter.

    The fused form takes the momenta of all parameters or of none, and a batch may have nothing to teach some.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def still_modules(network: nn.Module, *, learns: bool) -> tuple[nn.Module, ...]:
    """Parts of a network that training leaves as they are: frozen ones, and at no rate all statistics.

    Args:
        network: the network.
        learns: whether the learning rate is above 0.
    """
    without_gradient = [
        module
        for module in network.modules()
        if (parameters := list(module.parameters())) and not any(p.requires_grad for p in parameters)
    ]
    norms = [] if learns else [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    return tuple([*without_gradient, *norms])


class SegmentationTask(NetworkTask):
    """Learns label maps, and classes of whole images beside them.

    Images without labels count for the image-level loss alone, images without a class for the segmentation
    loss alone. Of several processes each sends gradients to every parameter, also where its part of a batch
    has nothing to teach them: the processes wait for one another's.
    """

    validation_score = "validation_dice"

    def __init__(self, network: nn.Module, recipe: Recipe, num_classes: int, total_steps: int) -> None:
        super().__init__(network, recipe, num_classes, total_steps)
        self.loss = self.make_loss()

    def make_loss(self) -> SegmentationLoss:
        """The recipe's segmentation loss."""
        return segmentation_loss(self.recipe.loss, self.num_classes)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Find the images with labels and with a class while they are on the CPU, so that no step waits."""
        images, labels, image_classes = batch
        has_labels = (labels != IGNORED_LABEL).flatten(1).all(dim=1)
        has_class = image_classes != NO_IMAGE_CLASS
        return images, labels, image_classes, _places(has_labels), _places(has_class)

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Loss of one batch by the recipe."""
        images, labels, image_classes, label_places, class_places = batch
        output = self.network(images)
        logits, image_logits = output if isinstance(output, tuple) else (output, None)
        loss: Tensor = logits.sum() * 0.0
        if len(label_places):
            loss = loss + self.loss(logits[label_places], labels[label_places])
        if image_logits is not None and len(class_places):
            image_loss = functional.cross_entropy(image_logits[class_places], image_classes[class_places])
            loss = loss + self.recipe.image_class_weight * image_loss
        elif image_logits is not None and self.division.processes > 1:
            loss = loss + image_logits.sum() * 0.0
        self.log("loss", loss)
        return self.shared(loss, len(images))

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        """Mean Dice of the structures on held-out images."""
        images, labels = batch[:2]
        output = self.network(images)
        logits = output[0] if isinstance(output, tuple) else output
        self.log_dice(held_out_dice(logits, labels, self.num_classes), len(images), batch_idx)

    def log_dice(self, dice: Tensor, examples: int, batch_idx: int) -> None:
        """Log a batch's Dice for the mean over the examples of all processes."""
        size = examples if self.counts(batch_idx) else 0
        self.log("validation_dice", dice, batch_size=size, sync_dist=True)


def _places(mask: Tensor) -> Tensor:
    return mask.nonzero().flatten()
