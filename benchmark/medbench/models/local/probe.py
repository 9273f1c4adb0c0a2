"""The contract of a network of one's own, found by a forward pass on zeros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from medbench.core.errors import MedbenchError
from medbench.core.task import Form
from medbench.core.text import counted, plain_name
from medbench.models.entry import ModelEntry
from medbench.models.local.exported import Exported, read_facts
from medbench.models.local.names import LocalModel, check_contract, local_model
from medbench.models.local.python_file import build, failure, takes_channels
from medbench.models.random_state import kept_random_state

if TYPE_CHECKING:
    from torch import Tensor, nn

DEFAULT_SIZE: Mapping[Form, int] = {"image": 256, "volume": 96}
SMALL_VOLUME = 32


@dataclass(frozen=True, slots=True)
class Needs:
    """Needs of a challenge: task, classes, forms, channels.

    Attributes:
        task: ``label_map`` or ``image_classes``.
        classes: names of its classes, the background of label maps included.
        forms: of its cases.
        modalities: names of each of a volume's modalities; empty where cases are no volumes.
        image_size: side of the input that the request names; ``None`` leaves it open.
    """

    task: str
    classes: Sequence[str]
    forms: Sequence[Form]
    modalities: Sequence[Sequence[str]] = ()
    image_size: int | None = None

    @property
    def channels(self) -> int:
        """Number of a volume's modalities; 0 where cases are no volumes."""
        return len(self.modalities)


def probed(entry: ModelEntry, needs: Needs, options: Mapping[str, Any]) -> ModelEntry:
    """The card with form, channels and input contract of the network.

    Raises:
        MedbenchError: ``model.build``, ``model.probe`` for a network that fails on an image, ``model.output``
            for logits of another number of classes or size, ``model.form``, or ``model.contract``.
    """
    model = local_model(entry.name)
    assert model is not None, "the card was made of it"
    card = replace(entry, offers={needs.task: "num_classes"})
    if model.kind in ("docker", "command"):
        form = needs.forms[0] if not needs.modalities else "volume"
        return replace(card, spatial_dims=3 if form == "volume" else 2)
    if model.kind == "file":
        return _exported(card, model, needs, options)
    own_options = {**entry.fixed_options, **options}
    size = needs.image_size or model.input.get("size") or own_options.get("image_size")
    return _python(
        with_contract(card, model.input), model, needs, own_options, None if size is None else int(size)
    )


def with_contract(entry: ModelEntry, contract: Mapping[str, Any]) -> ModelEntry:
    """The card with a stated input contract."""
    facts: dict[str, Any] = {
        key: contract[key] for key in ("channel_order", "scale", "background", "blending") if key in contract
    }
    facts |= {key: tuple(map(float, contract[key])) for key in ("mean", "std") if key in contract}
    if "size" in contract:
        facts["image_size"] = int(contract["size"])
    return replace(entry, **facts)


@kept_random_state()
def _python(
    entry: ModelEntry, model: LocalModel, needs: Needs, options: Mapping[str, Any], size: int | None
) -> ModelEntry:
    count = len(needs.classes)
    names_channels = takes_channels(model)
    form = _form(build(model, needs.channels or 3, count, options), needs)
    channels = needs.channels if form == "volume" else int(model.input.get("channels", 3))
    own_size = size or DEFAULT_SIZE[form]
    candidates = [channels] if names_channels or form == "volume" or "channels" in model.input else [3, 1]
    first: MedbenchError | None = None
    for channels in candidates:
        try:
            _tried(model, channels, options, needs, (form, own_size))
        except MedbenchError as error:
            first = first or error
            continue
        return replace(
            entry,
            spatial_dims=3 if form == "volume" else 2,
            image_size=own_size,
            in_channels=channels,
            own_channels=True,
        )
    assert first is not None
    raise first


def _form(network: nn.Module, needs: Needs) -> Form:
    """Whether the network is of images or of volumes, by its convolutions; else what the challenge has."""
    from torch import nn

    kinds: tuple[tuple[Form, tuple[type, ...]], ...] = (
        ("volume", (nn.Conv3d, nn.ConvTranspose3d, nn.LazyConv3d)),
        ("image", (nn.Conv2d, nn.ConvTranspose2d, nn.LazyConv2d)),
    )
    modules = list(network.modules())
    form = next(
        (name for name, types in kinds if any(isinstance(one, types) for one in modules)), needs.forms[0]
    )
    if form not in needs.forms:
        raise MedbenchError(
            "model.form",
            f"The network takes {form}s; the cases are {' or '.join(f'{one}s' for one in needs.forms)}.",
            "Choose a network of that form.",
        )
    return form


def _tried(
    model: LocalModel, channels: int, options: Mapping[str, Any], needs: Needs, place: tuple[Form, int]
) -> None:
    """Try the input of its own size; of a volume a smaller one first, as 96 voxels a side take long."""
    form, size = place
    count = len(needs.classes)
    if form == "image":
        _checked(model, channels, count, options, (1, channels, size, size), needs)
        return
    small = min(size, SMALL_VOLUME)
    try:
        _checked(model, channels, count, options, (1, channels, *(small,) * 3), needs)
    except MedbenchError:
        if small == size:
            raise
        _checked(model, channels, count, options, (1, channels, *(size,) * 3), needs)


def _checked(
    model: LocalModel,
    channels: int,
    count: int,
    options: Mapping[str, Any],
    shape: tuple[int, ...],
    needs: Needs,
) -> None:
    """Refuse a network that cannot answer an input of that shape as it should."""
    import torch

    network = build(model, channels, count, options).eval()
    try:
        with torch.inference_mode():
            output = network(torch.zeros(shape))
    except Exception as error:
        raise MedbenchError(
            "model.probe",
            f"{model.name}: fails on an input {shape}: {failure(error, model.path)}.",
            f"Expected: {expected(shape, needs)}. --image-size takes another size.",
        ) from error
    check_output(model.name, output, shape, needs)


def check_output(name: str, output: Any, shape: Sequence[int], needs: Needs) -> None:
    """Refuse logits of another number of classes or another size than the input's.

    Raises:
        MedbenchError: ``model.output`` with both shapes.
    """
    import torch

    value = next(iter(output.values()), None) if isinstance(output, dict) else output
    value = value[0] if isinstance(value, list | tuple) and value else value
    due = (1, len(needs.classes), *(shape[2:] if needs.task == "label_map" else ()))
    if isinstance(value, torch.Tensor) and tuple(value.shape) == due:
        return
    answer = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
    raise MedbenchError(
        "model.output",
        f"{name}: answers an input {tuple(shape)} with {answer}, not with {due}.",
        f"Expected: {expected(shape, needs)}: one logit for each of {', '.join(needs.classes)}.",
    )


def expected(shape: Sequence[int], needs: Needs) -> str:
    """Shapes of a network's input and output, in words."""
    axes = ("N", "C", *(("D", "H", "W") if len(shape) == 5 else ("H", "W")))
    sides = f", {', '.join(axes[2:])}" if needs.task == "label_map" else ""
    return f"({', '.join(axes)}) with C={shape[1]} to logits (N, {len(needs.classes)}{sides})"


def _exported(entry: ModelEntry, model: LocalModel, needs: Needs, options: Mapping[str, Any]) -> ModelEntry:
    facts = read_facts(model.path)
    overrides = options.get("contract") or model.input
    if overrides:
        check_contract(overrides, f"--contract of {model.name}")
    contract = {**facts.contract, **overrides}
    if not contract:
        raise MedbenchError(
            "model.contract",
            f"{model.name}: holds no input contract of medbench's export.",
            "State it: --contract size=256,channels=3,scale=255,mean=0:0:0,std=1:1:1 (or a TOML file).",
        )
    _check_classes(model, facts, needs)
    _check_modalities(model, facts, needs)
    form: Form = "volume" if facts.axes == 3 or (not facts.axes and needs.forms == ("volume",)) else "image"
    if form not in needs.forms:
        raise MedbenchError(
            "model.form",
            f"{model.name} takes {form}s; the cases are {' or '.join(f'{one}s' for one in needs.forms)}.",
            "Choose a network of that form.",
        )
    size = needs.image_size or contract.get("size") or facts.side or DEFAULT_SIZE[form]
    channels = int(facts.channels or contract.get("channels") or needs.channels or 3)
    _check_fixed(model, facts, int(size), channels, needs)
    shape = (1, channels, *(int(size),) * (3 if form == "volume" else 2))
    _check_exported(model, shape, needs)
    ready = with_contract(entry, {**contract, "size": size})
    return replace(ready, spatial_dims=3 if form == "volume" else 2, in_channels=channels, own_channels=True)


def _check_classes(model: LocalModel, facts: Exported, needs: Needs) -> None:
    own = [str(name) for name in facts.classes]
    if own and list(map(plain_name, own)) != list(map(plain_name, needs.classes)):
        raise MedbenchError(
            "weights.other_labels",
            f"{model.name}: learnt {', '.join(own)}; the challenge has {', '.join(needs.classes)}.",
            "Use a network that learnt these classes in this order.",
        )


def _check_modalities(model: LocalModel, facts: Exported, needs: Needs) -> None:
    """Refuse channels of other modalities, or of the same in another order."""
    own, theirs = (
        [set(map(plain_name, names)) for names in modalities]
        for modalities in (needs.modalities, facts.modalities)
    )
    if len(own) == len(theirs) and not all(one & two for one, two in zip(own, theirs, strict=True)):
        lists = [
            ", ".join(names[0] for names in modalities) for modalities in (facts.modalities, needs.modalities)
        ]
        raise MedbenchError(
            "weights.other_modalities",
            f"{model.name}: learnt from {lists[0]}; the challenge has {lists[1]}.",
            "Use a network that learnt from these modalities in this order.",
        )


def _check_fixed(model: LocalModel, facts: Exported, size: int, channels: int, needs: Needs) -> None:
    """Refuse sizes and channels that the file fixes otherwise."""
    if facts.side and facts.side != size:
        raise MedbenchError(
            "model.axes",
            f"{model.name}: takes inputs of side {facts.side} only, not {size}.",
            f"Use size {facts.side}, or export it with dynamic axes.",
        )
    if needs.modalities and channels != needs.channels and facts.axes == 3:
        raise MedbenchError(
            "model.axes",
            f"{model.name}: takes {counted(channels, 'channel')}, cases have "
            f"{counted(needs.channels, 'modality', 'modalities')}.",
            "Use a network of these modalities.",
        )
    if not needs.modalities and channels not in (1, 3):
        raise MedbenchError(
            "model.axes",
            f"{model.name}: takes {counted(channels, 'channel')}; images have 1 or 3.",
            "Use another network.",
        )


def _check_exported(model: LocalModel, shape: tuple[int, ...], needs: Needs) -> None:
    import torch

    from medbench.models.local.exported import load_exported

    network = load_exported(model.path)
    try:
        with torch.inference_mode():
            output: Tensor = network(torch.zeros(shape))
    except MedbenchError:
        raise
    except Exception as error:
        raise MedbenchError(
            "model.axes",
            f"{model.name}: fails on an input {shape}: {failure(error, model.path)}.",
            f"Expected: {expected(shape, needs)}. Give another size under --contract.",
        ) from error
    check_output(model.name, output, shape, needs)
