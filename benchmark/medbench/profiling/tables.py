"""Profiles as tables in plain text, Markdown, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medbench.models import ModelEntry, model_entry
from medbench.profiling.latency import LEAST_SAMPLES
from medbench.profiling.records import ProfileRecord

if TYPE_CHECKING:
    from medbench.profiling.cost import ModuleCost

FORMATS = {"markdown": "github", "latex": "latex_booktabs"}
UNSTEADY = "*"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text cells with title and notes.

    Attributes:
        title: text above the table, with what all rows share.
        headings: of the columns, with units.
        rows: cells of every row.
        notes: sentences below the table.
    """

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str] = ()

    def text(self, style: str) -> str:
        """The table in one of :data:`FORMATS`, with the title above and the notes below."""
        from tabulate import tabulate

        body = tabulate(self.rows, self.headings, tablefmt=FORMATS[style], disable_numparse=True)
        mark = "% " if style == "latex" else ""
        above = [f"{mark}{self.title}"] if self.title else []
        blank = [] if style == "latex" else [""]
        return "\n".join([*above, *blank, body, *blank, *(f"{mark}{note}" for note in self.notes)])


def millions(value: int) -> str:
    """Number of parameters in millions.

    >>> millions(29_250_115)
    '29.25'
    """
    return f"{value / 1e6:.2f}" if value >= 1e6 else f"{value / 1e6:.3f}"


def giga(value: float) -> str:
    """Number of operations in billions.

    >>> giga(7_496_056_832), giga(51_444_736)
    ('7.496', '0.0514')
    """
    return f"{value / 1e9:.3f}" if value >= 1e9 else f"{value / 1e9:.3g}"


def mebi(value: float | None) -> str:
    """Bytes in MiB; a dash where unknown."""
    return "–" if value is None else f"{value / 2**20:.1f}"


def milliseconds(value: float | None) -> str:
    """Seconds in ms with three digits; a dash where unknown."""
    return "–" if value is None else f"{value * 1e3:.3g}" if value < 0.1 else f"{value * 1e3:.0f}"


def shape_text(shape: Sequence[int]) -> str:
    """``3×256×256``."""
    return "×".join(map(str, shape))


def cost_table(records: Sequence[ProfileRecord]) -> Table:
    """Operations and sizes, which do not depend on the machine: a row per model and input."""
    distinct = list({(record.model, record.shape): record for record in records}.values())
    common, varying = _settings(distinct, ("input",))
    headings = (
        "model",
        *varying,
        "params [M]",
        "GMACs",
        "GFLOPs (2×MAC)",
        "other GFLOPs",
        "activations [MiB]",
        "file [MiB]",
    )
    rows = []
    for place, record in enumerate(distinct):
        cost = record.cost
        mark = "+" if cost.uncounted else ""
        rows.append(
            (
                record.model,
                *(values[place] for values in varying.values()),
                millions(cost.parameters),
                giga(cost.macs) + mark,
                giga(cost.flops) + mark,
                giga(cost.other_flops) + mark,
                mebi(cost.activation_bytes),
                mebi(cost.file_bytes),
            )
        )
    return Table(f"Cost of one sample{common}", headings, rows, list(_cost_notes(distinct)))


def machine_table(records: Sequence[ProfileRecord]) -> Table:
    """Memory and time: a row per workload and machine."""
    common, varying = _settings(records, ("input", "batch", "device", "precision"))
    on_cpu = any(record.hardware.accelerator is None for record in records)
    headings = (
        "model",
        *varying,
        "forward [MiB]",
        "training step [MiB]",
        *(["resident [MiB]"] if on_cpu else []),
        "p50 [ms]",
        "p90 [ms]",
        "samples/s",
    )
    rows = []
    for place, record in enumerate(records):
        forward, training = record.memory.get("forward"), record.memory.get("training_step")
        rows.append(
            (
                record.model,
                *(values[place] for values in varying.values()),
                peak_text(forward),
                peak_text(training),
                *([mebi((forward or {}).get("resident_extra_bytes"))] if on_cpu else []),
                *_times(record.latency),
            )
        )
    machines = "; ".join(dict.fromkeys(record.hardware.key for record in records))
    title = f"Memory and time{common}; {machines}"
    return Table(title, headings, rows, list(_machine_notes(records)))


def _settings(records: Sequence[ProfileRecord], names: Sequence[str]) -> tuple[str, dict[str, list[str]]]:
    """Settings that all rows share, as words for the title, and columns of the other settings."""
    columns = {
        "input": [shape_text(record.shape) for record in records],
        "batch": [str(record.batch) for record in records],
        "device": [_device(record) for record in records],
        "precision": [record.precision for record in records],
    }
    common = [f", {name} {columns[name][0]}" for name in names if len(set(columns[name])) == 1]
    return "".join(common), {name: columns[name] for name in names if len(set(columns[name])) > 1}


def _device(record: ProfileRecord) -> str:
    extra = [
        name for name, on in (("channels-last", record.channels_last), ("compiled", record.compiled)) if on
    ]
    return " ".join([record.device, *extra])


def peak_text(peak: dict[str, Any] | None) -> str:
    """Peak memory in MiB as text, or that the pass ran out of memory."""
    if peak is None:
        return "–"
    if peak["status"] == "out_of_memory":
        limit = peak["limit_bytes"]
        return f"> {mebi(limit)}" if limit else "out of memory"
    return mebi(peak["allocated_bytes"]) if peak["status"] == "ok" else "failed"


def _times(latency: dict[str, Any] | None) -> tuple[str, str, str]:
    if latency is None:
        return ("–", "–", "–")
    if latency["status"] != "ok":
        return ("out of memory" if latency["status"] == "out_of_memory" else "failed", "–", "–")
    mark = "" if latency["steady"] else UNSTEADY
    return (
        milliseconds(latency["p50_s"]) + mark,
        milliseconds(latency["p90_s"]),
        f"{latency['samples_per_s']:.3g}",
    )


def _cost_notes(records: Sequence[ProfileRecord]) -> Iterator[str]:
    counters = "; ".join(sorted({record.cost.counter for record in records}))
    yield (
        f"Counted by {counters}. GMACs and GFLOPs: convolutions and matrix products. Other GFLOPs: norms, "
        "activations, softmax, pooling, interpolation, biases. Activations: kept for the backward pass."
    )
    for record in records:
        if record.cost.uncounted:
            operators = ", ".join(f"{name} ({calls}×)" for name, calls in record.cost.uncounted.items())
            yield f"+ {record.model}: not counted, no formula: {operators}."
        if record.cost.way != "shapes":
            yield f"{record.model}: {record.cost.note}."


def _machine_notes(records: Sequence[ProfileRecord]) -> Iterator[str]:
    yield (
        "Forward, training step: largest sum of allocations at once; on the CPU by torch's profiler, beside "
        "weights, input and optimizer state; on CUDA with them. Resident: growth of a fresh process in a "
        "forward pass. A training step is forward, backward and AdamW."
    )
    for record in records:
        for what, peak in record.memory.items():
            if peak["status"] != "ok":
                yield f"{record.model}, {what.replace('_', ' ')}, batch {peak['batch']}: {peak['reason']}."
            elif peak["batch"] != record.batch:
                yield f"{record.model}: {what.replace('_', ' ')} measured with batch {peak['batch']}."
        if record.latency and record.latency["status"] == "ok" and not record.latency["steady"]:
            share = record.latency["iqr_s"] / record.latency["p50_s"]
            few = record.latency["samples"] < LEAST_SAMPLES
            why = f"fewer than {LEAST_SAMPLES} calls in the time that --seconds gives" if few else "unsteady"
            yield (
                f"{UNSTEADY} {record.model}: {why}, the middle half of {record.latency['samples']} calls "
                f"spans {share:.0%} of the median (load {record.latency['load']}); do not quote this time."
            )
        for what, largest in record.largest_batch.items():
            beyond = f" ({largest['reason']})" if largest["reason"] else ""
            yield (
                f"{record.model}: largest batch of a {what.replace('_', ' ')} within "
                f"{mebi(largest['limit_bytes'])} MiB: {largest['batch']}{beyond}."
            )
        if record.energy:
            energy = record.energy
            yield f"{record.model}: {energy['joules_per_sample']:.3g} J a sample ({energy['method']})."


def published_table(records: Sequence[ProfileRecord]) -> Table:
    """Parameters and operations of papers and of authors' programs beside those counted here.

    Only records with the input, classes and options of the card are compared; notes name missing records.
    """
    headings = (
        "model",
        "input",
        "paper: params [M]",
        "paper: GFLOPs",
        "authors: params [M]",
        "authors: GMACs",
        "here: params [M]",
        "here: GMACs",
    )
    rows, notes = [], []
    for name in dict.fromkeys(record.model for record in records):
        entry = model_entry(name)
        has_figures = entry.published_gflops or entry.published_parameters or entry.authors_gmacs
        if not (has_figures or entry.cost_note):
            continue
        own = next((r for r in records if r.model == name and _as_on_card(r, entry)), None)
        here = ("–", "–") if own is None else (millions(own.cost.parameters), giga(own.cost.macs))
        shape = shape_text(entry.input_shape)
        rows.append((name, shape, *published_cells(entry), *here))
        notes += [f"{name}: {entry.cost_note}"] if entry.cost_note else []
        if own is None:
            notes.append(f"{name}: not counted at its card's input; medbench profile -m {name} does.")
    return Table("Published and measured", headings, rows, notes)


def _as_on_card(record: ProfileRecord, entry: ModelEntry) -> bool:
    shape = entry.input_shape
    return record.shape == shape and record.num_classes == entry.num_classes and not record.options


def published_cells(entry: ModelEntry) -> tuple[str, str, str, str]:
    """Cells of parameters and GFLOPs in the paper, and of parameters and GMACs in the authors' program."""

    def count(value: int | None) -> str:
        return "not found" if value is None else millions(value)

    return (
        count(entry.published_parameters),
        "not found" if entry.published_gflops is None else f"{entry.published_gflops:g}",
        count(entry.authors_parameters) if entry.authors_parameters else "–",
        "–" if entry.authors_gmacs is None else f"{entry.authors_gmacs:.3f}",
    )


def module_table(model: str, modules: Sequence[ModuleCost], depth: int) -> Table:
    """Cost by module down to a depth; modules without parameters and operations are left out."""
    total = max(modules[0].macs, 1)
    rows = []
    for module in modules:
        level = module.name.count(".") + 1 if module.name else 0
        if level > depth or not (module.parameters or module.macs or module.other_flops):
            continue
        label = "  " * level + (module.name.rpartition(".")[2] or model)
        rows.append(
            (
                label,
                f"{module.parameters:,}",
                giga(module.macs),
                f"{module.macs / total:.1%}",
                giga(module.other_flops),
            )
        )
    return Table(f"{model} by module", ("module", "params", "GMACs", "share", "other GFLOPs"), rows, [])
