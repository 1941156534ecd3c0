"""Export as texts: the forms that a trial can be written in, the steps, the figures of the files, the card."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from heretic_tui.behaviour import Behaviour
from heretic_tui.events import EXPORT_STEPS, Coverage, ExportStep, ModelLoaded, Progress
from heretic_tui.figures import Figure, in_tables, worth_showing
from heretic_tui.files import short_path
from heretic_tui.report.lines import export_step_words
from heretic_tui.report.next_lines import folded_lines, next_lines
from heretic_tui.report.tolerance import compared, tolerance_words
from heretic_tui.run.card_text import BEGIN, END
from heretic_tui.run.exports import ExportKind, ExportRecord, MeasuredFigures
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.tui.exports import ExportJob
from heretic_tui.tui.glyphs import ASCII, Glyphs, safe_lines, to_ascii
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.charts import gauge
from heretic_tui.words import bits_of, duration, plain, size_words


def not_for_export(behaviour: Behaviour) -> str:
    """Why a screened trial cannot be exported."""
    return f"its {behaviour.things} are an estimate; d on Trials decodes it"


_BAR = 10
_STEP_WIDTH = 27
# Columns of the pane on a terminal of 120, beside a scroll bar.
_USE_WIDTH = 54
# Figures of adapters are float32, whatever the model's are.
_ADAPTER_BYTES = 4


@dataclass(frozen=True)
class Form:
    """A form that a trial can be written in.

    Attributes:
        name: by which the screen knows it.
        short: whether the files are exactly the trial, in a word.
        words: what it means.
        size: bytes, 0 where they are not known.
        requantize: whether what is edited is quantised again, as the source is.
        approximate: why the files are not exactly the trial, as the card says it; None where they are.
    """

    name: str
    title: str
    short: str
    words: str
    size: int
    kind: ExportKind
    dora: bool = False
    approximate: str | None = None
    requantize: bool = False


def forms(state: RunState, trial: TrialRecord | None = None) -> list[Form]:
    """The forms that a trial of a run can be written in; of none that is chosen, one of the first direction method."""
    model, coverage = state.model, state.coverage
    settings = state.opened.settings if state.opened else {}
    short, words = "exact", "A whole model for any runtime: the edit in its weights, exact but for rounding"
    words += " to the dtype of the original."
    if model and model.quantization != "none":
        short, beside = "whole", f"{bits_of(model.quantization)}-bit"
        words = f"A whole model in the dtype of the original; the run measured its edits beside {beside} weights."
    elif model and model.stored_as:
        words = (
            f"A whole model: what is edited, and what goes with it, in 16 bits; the rest {model.stored_as} as it was."
        )
    if coverage and coverage.no_adapter:
        words += f" No adapter: {plain(coverage.no_adapter)}."
    found = [Form("merged", "merged model", short, words, _whole_size(model), "merged")]
    if model and model.stored_as:
        found.append(_as_the_source(model))
    if coverage is None or coverage.exact_as is None:
        # A journal of before, which does not tell.
        found.append(Form("adapter", "LoRA adapter", "?", "A PEFT adapter, for use beside the original.", 0, "adapter"))
        words = "A PEFT adapter that brings rows to their lengths: exact where the edit keeps them."
        return [*found, Form("dora", "DoRA adapter", "?", words, 0, "adapter", True)]
    rank = settings.get("full_normalization_lora_rank")
    lengths = coverage.editable * model.hidden_size if model else 0
    own = state.rank_of(trial.parameters if trial else None) + (state.start.rank if state.start else 0)
    return [*found, *_adapters(coverage, own, rank if isinstance(rank, int) else 3, lengths)]


def _adapters(coverage: Coverage, own: int, rank: int, lengths: int) -> list[Form]:
    """The adapters that an edit can be written as.

    Args:
        own: rank of the edit.
        rank: of a LoRA that comes near, where the edit has no higher one.
        lengths: how many rows all matrices have.
    """
    numbers, exact_as = coverage.rank_one, coverage.exact_as
    if not numbers:
        return []
    if exact_as == "LoRA":
        words = f"A PEFT adapter of rank {own}, for use beside the original model: exactly the edit."
        size = numbers * own * _ADAPTER_BYTES
        return [Form("adapter", f"LoRA adapter, rank {own}", "exact", words, size, "adapter")]
    rank = max(rank, own)
    words = f"A PEFT adapter, for use beside the original model: the LoRA of rank {rank} nearest to the edit."
    why = f"the LoRA of rank {rank} that comes nearest to the edit; a DoRA is exact"
    if exact_as != "DoRA":
        words += " PEFT has no DoRA, which would be exact, of fused experts."
        why = f"the LoRA of rank {rank} that comes nearest to the edit; merged weights are exact"
    size = numbers * rank * _ADAPTER_BYTES
    near = Form("adapter", f"LoRA adapter, rank {rank}", "approximate", words, size, "adapter", approximate=why)
    if exact_as != "DoRA":
        return [near]
    words = "A PEFT adapter that rescales rows too: exactly the edit. The runtime must know DoRA."
    size = (numbers * own + lengths) * _ADAPTER_BYTES
    return [near, Form("dora", "DoRA adapter", "exact", words, size, "adapter", True)]


def _whole_size(model: ModelLoaded | None) -> int:
    """Bytes of a merged model; 0 where nothing is known."""
    if model is None:
        return 0
    if model.stored_as:
        # At most: what is not edited stays as it is.
        return model.parameters * 2
    # Journals of before do not tell what the files take.
    return model.stored_bytes or (model.weight_bytes if model.quantization == "none" else model.parameters * 2)


def _as_the_source(model: ModelLoaded) -> Form:
    """The form in which edited matrices of a quantised source are quantised again."""
    kind = model.stored_as
    return Form(
        "requantized",
        f"merged model, {kind} again",
        "approximate",
        f"A whole model as large as the original: what is edited is quantised again as {kind}, which rounds it.",
        model.stored_bytes,
        "merged",
        approximate=f"the edited matrices are quantised again as {kind}, which rounds them",
        requantize=True,
    )


def trial_words(trial: TrialRecord | None, view: RunView, look: Looks) -> Text:
    """What is to be exported: the trial with its figures, those of the original model, and the note."""
    if trial is None:
        return Text("No trial is selected: 3 shows the trials.", look.dim)
    state, base = view.state, view.state.base
    text = Text.assemble((f"trial {trial.number}", f"bold {look.link}"))
    if view.annotations.marked(trial.number):
        text.append(f" {view.glyphs.marked}", look.focus)
    for figure in in_tables(state.figures):
        value = trial.shown(figure)
        if value is None:
            continue
        about = view.glyphs.about + " " if trial.estimates(figure.key) else ""
        text.append(f"  {about}{figure.sentence(value, trial.out_of)}", look.ink)
        before = base.figures.get(figure.key) if base else None
        if figure.counted and before is not None:
            text.append(f" (original: {before})", look.base)
    if note := view.annotations.first_line(trial.number):
        text.append(f'  "{plain(note)}"', look.dim)
    if trial.state == "screened":
        text.append(
            f"\nIt was screened, not decoded: {not_for_export(state.behaviour)}; n takes the next one.", look.bad
        )
    elif trial.state != "complete":
        text.append(f"\nIt is {trial.state}: only a complete trial can be exported; n takes the next one.", look.bad)
    return text


def also_cells(trial: TrialRecord, view: RunView, chosen: bool) -> tuple[str, ...]:
    """The line of a trial that can be exported along with the one in view."""
    counted, other = in_tables(view.state.figures)[:2]
    mark = view.glyphs.marked if view.annotations.marked(trial.number) else " "
    box = f"[{'x' if chosen else ' '}] {trial.number} {mark}"
    first = f"{counted.text(trial.figures.get(counted.key), trial.prompts)} {counted.participle or counted.short}"
    second = f"{other.short} {other.text(trial.figures.get(other.key), trial.prompts)}"
    return box, f"{first:>16}  {second}", view.annotations.first_line(trial.number)


# Steps


def steps_text(job: ExportJob | None, view: RunView, look: Looks, width: int, hub: bool) -> Text:
    """The steps of an export, each with its sign, time and progress.

    Args:
        width: cells.
        hub: whether the export that would be made now is uploaded.
    """
    glyphs, text = view.glyphs, Text()
    uploads = hub if job is None else bool(job.command and job.command.hub) or "upload" in job.steps
    if job is not None:
        text.append(f"trial {job.trial}", f"bold {look.link}")
        text.append(f" {'not written to' if job.failed else 'to'}\n", look.ink)
        text.append(f"{_end_of(job.out, width, glyphs)}\n\n", look.ink)
    for number, name in enumerate(EXPORT_STEPS, start=1):
        if name == "upload" and not uploads:
            continue
        step = job.steps.get(name) if job else None
        words = f"{number} {export_step_words(name)}"
        if step is None:
            left_out = job is not None and job.end is not None and not job.failed
            text.append(f"  {words:{_STEP_WIDTH}}{'left out' if left_out else ''}".rstrip() + "\n", look.dim)
        elif step.seconds is not None:
            text.append(f"{glyphs.done} ", look.good)
            text.append(f"{words:{_STEP_WIDTH}}", look.ink)
            text.append(f"{duration(step.seconds):>7}", look.ink)
            text.append(f"  {plain(step.said)}\n", look.dim)
        elif job is not None and job.end is not None:
            text.append(f"{glyphs.failed} {words:{_STEP_WIDTH}}", look.bad)
            text.append(f"{'cancelled' if job.cancelled else 'failed'}\n", look.bad)
        else:
            text.append(f"{glyphs.running} {words}", look.busy)
            text.append_text(_progress(job.progress if job else None, step, view, look, width))
            text.append("\n")
    return text


def _progress(progress: Progress | None, step: ExportStep, view: RunView, look: Looks, width: int) -> Text:
    glyphs = view.glyphs
    if progress is None or not progress.total:
        gone = f"{duration(max(0, time.time() - step.time))}" if view.timed else ""
        return Text(f"  {gone}", look.busy)
    drawn = "".join(gauge(progress.done / progress.total, _BAR, glyphs))
    bar = f"{drawn}  " if width >= _STEP_WIDTH + 42 else ""
    stage, _, unit = progress.stage.rpartition(", ")
    if unit == "MB":
        # Its own step says what happens to them.
        said = f"{size_words(progress.done * 1e6)} of {size_words(progress.total * 1e6)}"
    else:
        said = f"{progress.done} of {progress.total} {plain(stage or progress.stage)}"
    left = f"  {duration(progress.seconds_left)} left" if progress.seconds_left else ""
    return Text(f"  {bar}{said}{left}", look.busy)


def _end_of(path: str, width: int, glyphs: Glyphs) -> str:
    """A path in one line: its end where it is too long."""
    shown, mark = plain(short_path(path)), glyphs.ellipsis
    return shown if len(shown) <= width else f"{mark}{shown[len(mark) - width :]}"


def figures_text(jobs: Sequence[ExportJob], view: RunView, look: Looks) -> Text:
    """The figures of the original model, and of each export the trial's and what the files measured.

    Args:
        jobs: those to show, the one that matters most first.
    """
    state, text = view.state, Text()
    base = state.measured_base
    known = [] if base is None else [base.figures]
    for job in jobs:
        if job.measured is not None:
            known += [each.figures for each in (job.measured.trial, job.measured.exported) if each]
        if (trial := state.trials.get(job.trial)) is not None:
            known.append(trial.measured_figures)
    figures = in_tables(worth_showing(state.figures, known))
    widths = [max(9, figure.width + 2) for figure in figures]

    def line(label: str, measured: MeasuredFigures | None, style: str, outside: frozenset[str] = frozenset()) -> None:
        text.append(f"{label:15}", style)
        for figure, width in zip(figures, widths, strict=True):
            text.append(
                f"{_cell(figure, measured, view.glyphs):>{width}}", look.bad if figure.key in outside else style
            )
        text.append("\n")

    heads = (f"{plain(f.participle or f.short):>{width}}" for f, width in zip(figures, widths, strict=True))
    text.append(f"{'':15}{''.join(heads)}\n", f"bold {look.dim}")
    if base:
        line("original model", MeasuredFigures(figures=base.figures, prompts=base.prompts), look.base)
    for job in jobs:
        trial, found = state.trials.get(job.trial), job.measured
        measured: MeasuredFigures | None = found.trial if found else None
        if measured is None and trial is not None:
            measured = MeasuredFigures(figures=trial.measured_figures, prompts=trial.prompts)
        line(f"trial {job.trial}", measured, look.ink)
        if job.failed:
            text.append(f"{'files':15}{plain(job.end.error or '') if job.end else ''}\n", look.bad)
            continue
        comparison = compared(found) if found else None
        outside = comparison.outside if comparison else frozenset()
        good = look.good if comparison and not outside else look.ink
        line("files written", found.exported if found else None, good, outside)
        if comparison:
            sign = (
                view.glyphs.done if not outside else view.glyphs.about if not comparison.failed else view.glyphs.failed
            )
            style = look.good if not outside else look.busy if not comparison.failed else look.bad
            text.append(f"{sign} {plain(_in_glyphs(comparison.words, view.glyphs))}\n", style)
        elif found and found.not_measured:
            text.append(f"not measured: {plain(found.not_measured)}\n", look.busy)
        elif job.end is None:
            within = _in_glyphs(tolerance_words(trial.prompts if trial else None), view.glyphs)
            text.append(f"they must be {within} of the trial\n", look.dim)
        if job is not jobs[0] or job.steps == {}:
            text.append(f"in {plain(short_path(job.out))}\n", look.dim)
        if job.end and job.end.url:
            text.append(f"uploaded: {plain(job.end.url)}\n", look.ink)
        if job is jobs[0] and job.record:
            text.append_text(_use_text(job, job.record, state.opened.model if state.opened else None, look))
    return text


def _use_text(job: ExportJob, record: ExportRecord, base: str | None, look: Looks) -> Text:
    """What is typed next with the files of an export.

    Args:
        base: the original model as the run names it.
    """
    uploaded = bool(job.end and job.end.url)
    place = "/".join(job.end.url.split("/")[-2:]) if job.end and job.end.url else job.out
    text = Text("\nTo use it\n", f"bold {look.dim}")
    for line in folded_lines(next_lines(record, place, base, uploaded=uploaded), _USE_WIDTH):
        text.append(f"{plain(line)}\n", look.ink)
    return text


def _in_glyphs(words: str, glyphs: Glyphs) -> str:
    return words.replace("±", glyphs.give_or_take)


def _cell(figure: Figure, measured: MeasuredFigures | None, glyphs: Glyphs) -> str:
    if measured is None:
        return glyphs.ellipsis
    return figure.text(measured.figures.get(figure.key), measured.prompts) or "-"


def waiting_text(jobs: Sequence[ExportJob], view: RunView, look: Looks) -> Text:
    """The exports that wait, and why."""
    text = Text()
    for job in jobs:
        text.append(f"{view.glyphs.ellipsis} trial {job.trial} waits", look.busy)
        text.append(f" to {plain(short_path(job.out))}\n", look.dim)
    if jobs and view.searching:
        text.append("They wait for the running trials; the search goes on afterwards.\n", look.dim)
    return text


# The card


def card_lines(card: str, look: Looks, glyphs: Glyphs) -> Text:
    """A model card as it is written, the person's part in a colour of its own, and what only the Hub reads in a
    line."""
    lines, text, own = safe_lines(card).plain.split("\n"), Text(), False
    if lines[0] == "---" and "---" in lines[1:]:
        end = lines.index("---", 1)
        fields = "\n".join(lines[1:end]).replace(":\n- ", ": ").replace("\n- ", ", ").replace("\n", f" {glyphs.dot} ")
        text.append(f"{fields}\n", look.dim)
        lines = lines[end + 1 :]
    for line in lines:
        inside = own or line == BEGIN
        own = inside and line != END
        style = look.link if inside else look.ink
        if line.startswith("#"):
            style = f"bold {style}"
        elif line.startswith("**") or line in (BEGIN, END):
            style = look.busy if line.startswith("**") else look.dim
        text.append(f"{to_ascii(line) if glyphs is ASCII and not inside else line}\n", style)
    return text
