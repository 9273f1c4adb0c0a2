"""``medbench train``: fit a model to a challenge's training split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

from medbench.challenges import load_challenge
from medbench.core.case import Data
from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_json
from medbench.core.first_process import is_first_process
from medbench.core.folders import cache_folder
from medbench.core.progress import Progress, SilentProgress
from medbench.core.task import titles
from medbench.core.writable import refuse_unwritable
from medbench.inference.start_weights import freeze
from medbench.models.random_state import kept_random_state
from medbench.records.identity import manifest_sha256, plugin_settings
from medbench.running.data import release_folder, resolve_data
from medbench.running.kept_weights import say_other_threads
from medbench.running.networks import INPUT, NetworkPlan, recipe_for
from medbench.running.recipe_facts import outline
from medbench.running.request import Request
from medbench.running.retraining import recipe_changes, train_command
from medbench.running.start import Start, read_start, split_start, start_line
from medbench.running.train_sequences import train_sequences
from medbench.running.training_plan import TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from medbench.challenges.base import Challenge
    from medbench.core.task import Form
    from medbench.inference.predictor import InputContract
    from medbench.inference.volumes import VolumeContract
    from medbench.training.framework import FrameworkRecipe
    from medbench.training.hardware import Hardware
    from medbench.training.recipes import Recipe


def training_challenge(challenge: Challenge) -> Challenge:
    """The challenge whose training serves this challenge: itself, unless challenges share one training."""
    return load_challenge(challenge.card.learns_from) if challenge.card.learns_from else challenge


def plan_training(
    challenge: Challenge,
    data: Data,
    network: NetworkPlan,
    recipe: Recipe | FrameworkRecipe,
    runs: Path,
    split: str | None = None,
    start: Start | None = None,
    hardware: Hardware | None = None,
) -> TrainingPlan:
    """Plan a training; its folder's name hashes everything that decides its result.

    Args:
        challenge: what to learn.
        data: where from.
        network: what learns.
        recipe: how.
        runs: folder of run directories.
        split: split to learn from; the challenge's training split if not given.
        start: weights to start from.
        hardware: devices and precision, of hardware that is present; all of this machine if not given.

    Raises:
        MedbenchError: as :func:`medbench.training.hardware.present_hardware`; ``init.nothing_matches`` or
            ``init.part`` for a start that does not fit the network.
    """
    from medbench.training.hardware import Hardware as DefaultHardware
    from medbench.training.hardware import present_hardware

    hardware = hardware or present_hardware(DefaultHardware())
    subject, challenge = challenge, training_challenge(challenge)
    split = split or challenge.release.training_split
    cases = challenge.cases(data.root, split)
    facts = {
        "model": network.name,
        "options": network.options,
        "num_classes": network.num_classes,
        "num_image_classes": network.num_image_classes,
        "challenge": challenge.name,
        "split": split,
        "data": data.kind,
        "manifest_sha256": manifest_sha256(data.root, cases),
        "seed": recipe.seed,
        "hardware": {
            **hardware.facts(getattr(recipe, "batch_size", 1)),
            **({"precision": "the framework's own"} if network.framework is not None else {}),
        },
        **plugin_settings(),
    }
    began = {} if start is None else {"start": [start.checkpoint.sha256, *start.frozen]}
    own_input = {INPUT: network.own_input} if network.own_input else {}
    key = sha256_json({**facts, "recipe": recipe.as_json(), **began, **own_input})
    facts[INPUT] = network.own_input
    facts["classes"] = {task: list(names) for task, names in challenge.card.demands.items()}
    facts |= start_facts(network, start)
    facts["recipe_changes"] = changes = recipe_changes(subject, network, recipe.as_json())
    all_facts = {**facts, "challenge": subject.name, "recipe": recipe.as_json()}
    facts["train_command"] = train_command(all_facts, changes)
    folder = runs / challenge.name / network.folder_name / "training" / f"{recipe.name}-{key[:12]}"
    return TrainingPlan(challenge, data, network, recipe, folder, split, hardware, facts, start)


def train_planned(plan: TrainingPlan, progress: Progress) -> Path:
    """Weights file of a planned training: an interrupted training is resumed, a finished one not repeated.

    Raises:
        MedbenchError: as the training itself.
    """
    from medbench.training.fit import Learner, fit
    from medbench.training.framework import TrainingOrder

    if plan.network.framework is not None:
        order = TrainingOrder(
            challenge=plan.challenge,
            root=plan.data.root,
            split=plan.split,
            options=plan.network.all_options,
            recipe=plan.recipe,
            folder=plan.folder,
            cache=cache_folder() / "frames",
            facts=plan.facts,
            start=plan.start,
        )
        return plan.network.framework.train(order, plan.hardware, progress)
    if _scores_frames(plan.network):
        return train_sequences(plan, progress)
    network = plan.network
    return fit(
        Learner(plan.build, _contract(plan), network.num_classes, network.returned, tuple(network.outputs)),
        _examples(plan),
        plan.recipe,
        plan.folder,
        plan.facts,
        hardware=plan.hardware,
        progress=progress,
        cache=cache_folder() / "volumes",
    )


def _contract(plan: TrainingPlan) -> InputContract | VolumeContract:
    size = plan.recipe.image_size
    return plan.network.volume_contract(size) if plan.network.sees_volumes else plan.network.contract(size)


def _examples(plan: TrainingPlan) -> Sequence[Any]:
    from medbench.training.missing_modalities import with_missing

    form: Form = "volume" if plan.network.sees_volumes else "image"
    examples = plan.challenge.exchange.inputs[form].examples(
        plan.data.root, plan.split, cache_folder() / "frames"
    )
    if form == "volume" and plan.recipe.missing_rates:
        challenge = plan.challenge
        return with_missing(
            examples,
            plan.recipe.missing_rates,
            challenge.card.modalities,
            challenge.release.listed_modalities,
        )
    return examples


class TrainingKeywords(TypedDict, total=False):
    """Keywords of a training; see :class:`medbench.running.request.Request`."""

    data: str | Path | None
    split: str | None
    options: Mapping[str, Any] | None
    runs: str | Path | None
    init: str | Path | None
    freeze: Sequence[str]


def train(
    model: str,
    challenge: str,
    *,
    recipe: str | None = None,
    recipe_changes: Mapping[str, Any] | None = None,
    hardware: Hardware | None = None,
    progress: Progress | None = None,
    **keywords: Unpack[TrainingKeywords],
) -> Path:
    """Train a model by a recipe; an interrupted training is resumed, a finished one is not repeated.

    Args:
        model: model name.
        challenge: challenge name.
        recipe: name of one of the model family's recipes; the family's on this challenge if not given.
        recipe_changes: settings that differ from the recipe's.
        hardware: accelerator, devices, nodes, precision; the recipe's batch is shared by all devices.
        progress: display that counts the steps.
        keywords: ``data``, a real copy, else as :func:`medbench.running.data.resolve_data` finds it;
            ``split`` to learn from, the challenge's own training split if not given; of a split of several
            folds, those of all of them; ``options`` of the model; ``runs``, folder of run directories;
            ``init``, a file of weights, a training or a run to start from; ``freeze``, parts of the network
            that keep those weights.

    Returns:
        Path of the weights, of the last fold's where there are several; ``training.json`` beside them says
        how they were made.

    Raises:
        MedbenchError: for unknown names, absent devices, unreadable data or a diverged training.
        KeyboardInterrupt: when the user interrupts; the same call goes on.
    """
    from medbench.training.hardware import Hardware as DefaultHardware

    progress = progress if progress and is_first_process() else SilentProgress()
    own_hardware = hardware or DefaultHardware()
    own_hardware.check()
    request, start = _requested(model, challenge, keywords)
    subject, network = request.match()
    settings = recipe_for(subject, network, recipe, recipe_changes)
    progress.say(
        f"{model} learns from {training_challenge(subject).title} by the recipe '{settings.name}'; "
        "loading the network and listing the cases."
    )
    present = _present(subject, network, settings, own_hardware)
    try_options(network)
    began = start(subject, network)
    refuse_unwritable(request.runs_root, folder=True)
    data = resolve_data(subject, request.data, progress)
    release = training_challenge(subject).release
    folds = release.parts(request.split or release.default_split)
    splits: list[str | None] = [*map(release.training_split_of, folds)] if folds else [request.split]
    plans = [
        plan_training(subject, data, network, settings, request.runs_root, split, began, present)
        for split in splits
    ]
    if "start_parameters" in plans[0].facts:
        progress.say(start_line(plans[0].facts))
    for plan in plans:
        say_other_threads(plan.folder, progress)
    weights = [train_planned(plan, progress) for plan in plans]
    return weights[-1]


def outline_training(
    model: str,
    challenge: str,
    *,
    recipe: str | None = None,
    recipe_changes: Mapping[str, Any] | None = None,
    hardware: Hardware | None = None,
    **keywords: Unpack[TrainingKeywords],
) -> dict[str, Any]:
    """Outline of what :func:`train` would do with the same arguments; no data are drawn or read.

    Args:
        model: model name.
        challenge: challenge name.
        recipe: as in :func:`train`.
        recipe_changes: settings that differ from the recipe's.
        hardware: what it would train on; with it this machine's devices and folders are checked as well.
        keywords: as in :func:`train`.

    Raises:
        MedbenchError: for unknown names or values, a start that does not fit the network, and with
            ``hardware`` for whatever :func:`train` refuses before it reads a case.
    """
    request, start = _requested(model, challenge, keywords)
    subject, network = request.match()
    settings = recipe_for(subject, network, recipe, recipe_changes)
    if hardware is not None:
        _present(subject, network, settings, hardware)
        refuse_unwritable(request.runs_root, folder=True)
        release_folder(subject, request.data)
    try_options(network)
    facts = start_facts(network, start(subject, network))
    return outline(subject, network, settings, recipe_changes or {}, facts or None)


def _present(challenge: Challenge, network: NetworkPlan, recipe: Any, hardware: Hardware) -> Hardware:
    """Present hardware for a network's training, which is refused where it can be told without data.

    Raises:
        MedbenchError: ``training.nothing`` for a model that has nothing to learn, ``training.task`` for tasks
            that are not learnt here, ``option.ignored``, ``training.devices``, as the framework's own check
            and as :func:`medbench.training.hardware.hardware_for`.
    """
    from medbench.training.fit import LEARNT
    from medbench.training.hardware import hardware_for
    from medbench.training.sequence_fit import device_of

    if not network.entry.learns:
        raise MedbenchError(
            "training.nothing",
            f"{network.name} has nothing to learn.",
            f"Run it: medbench run -m {network.name} -c {challenge.name}.",
        )
    if network.framework is not None:
        network.framework.check_hardware(hardware)
        return hardware_for(hardware, 1)
    if _scores_frames(network):
        if hardware.workers:
            raise MedbenchError(
                "option.ignored",
                f"--workers has no effect with {network.name}, whose sequences lie in memory.",
                "Leave it out.",
            )
        present = hardware_for(hardware, 1)
        device_of(present)
        return present
    if not network.outputs.keys() & LEARNT:
        raise MedbenchError(
            "training.task",
            f"Only {titles(sorted(LEARNT, reverse=True))} are trained; {challenge.title} demands "
            f"{titles(network.outputs)}.",
            "Give --weights FILE, or --weights none for fresh ones.",
        )
    present = hardware_for(hardware, recipe.batch_size)
    present.division.check(recipe.batch_size)
    return present


def _scores_frames(network: NetworkPlan) -> bool:
    """Whether a network sees sequences and scores their frames, a video a step."""
    return network.form == "sequence" and "frame_scores" in network.outputs


def try_options(network: NetworkPlan) -> None:
    """Build a network once: only its library knows which values its options take.

    Raises:
        MedbenchError: naming the option, as :func:`medbench.models.create_model`.
    """
    if network.framework is None:
        with kept_random_state():
            network.build()


def start_facts(network: NetworkPlan, start: Start | None) -> dict[str, Any]:
    """Facts of a start: the file's hash, and which parameters fit; a framework matches them itself."""
    if start is None:
        return {}
    if network.framework is not None:
        return {"start": start.facts}
    with kept_random_state():
        module = network.build()
        fit = start.matching(network, module)
    freeze(module, start.frozen)
    return {"start": start.facts, "start_parameters": fit.as_json()}


def _requested(
    model: str, challenge: str, keywords: TrainingKeywords
) -> tuple[Request, Callable[[Challenge, NetworkPlan], Start | None]]:
    """The request, whose options name no file, and what reads the start that it names.

    Raises:
        MedbenchError: ``init.twice`` for a start by ``--init`` and by an option, ``init.freeze`` for frozen
            parts without a start.
    """
    others = {name: value for name, value in keywords.items() if name not in ("init", "freeze", "options")}
    options, own = split_start(keywords.get("options") or {})
    start, parts = keywords.get("init"), tuple(keywords.get("freeze", ()))
    if own and start:
        raise MedbenchError(
            "init.twice", f"{start} and {own}: a training starts from one file.", "Leave one of the two out."
        )
    name = start or own
    if parts and not name:
        raise MedbenchError(
            "init.freeze", "Parts are frozen, but nothing is given to start from.", "Give --init too."
        )
    request = Request.of(model, challenge, options=options, **cast(Any, others))
    return (
        request,
        lambda subject, network: (
            read_start(name, training_challenge(subject), network, request.runs_root, parts) if name else None
        ),
    )
