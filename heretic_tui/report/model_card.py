"""The model card that goes with exported files: what was done to the model, what was measured, how to make it again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from heretic_tui import __version__
from heretic_tui.behaviour import Behaviour, behaviour_of
from heretic_tui.bounds import space_words
from heretic_tui.figures import REFUSALS, Figure, in_tables, worth_showing
from heretic_tui.files import replaced
from heretic_tui.plugins import DIRECTION_METHODS, EDIT_METHODS, JUDGES, Kind, summary
from heretic_tui.report.next_lines import next_lines
from heretic_tui.run.card_text import marked
from heretic_tui.run.exports import ExportRecord, MeasuredFigures
from heretic_tui.run.screened import MARGIN_WORDS
from heretic_tui.words import bits_of, counted, plain, ranges

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
# Markers that are named.
_MARKERS = 20
# What was done to a model, in bold.
_REDUCED = (
    "**The refusal behaviour of this model was deliberately reduced. It answers requests that the original model",
    "refuses, and nothing was put in the place of that safeguard. Whoever uses or passes on this model answers for",
    "what is done with it.**",
)
_STRENGTHENED = (
    "**The refusal behaviour of this model was deliberately strengthened. It may refuse requests that the original",
    "model answers. That is no safeguard that anybody has tested: it was measured on the prompts named below, and on",
    "no others.**",
)
# The prompt sets, by the names of their settings.
_SETS = {
    "good_prompts": "harmless prompts",
    "bad_prompts": "harmful prompts",
    "good_evaluation_prompts": "harmless evaluation prompts",
    "bad_evaluation_prompts": "harmful evaluation prompts",
}


# What direction methods need of whoever makes files again: a record does not name it.
_NOT_NAMED = {"ridge_cleaned": "--keep-prompts PROMPTS", "from_file": "--direction-file FILE"}


def write_card(folder: Path, record: ExportRecord, own: str = "") -> None:
    """README.md in the Hub's form.

    Args:
        record: what is written as reproduce.json.
        own: the person's part.
    """
    with replaced(folder / "README.md") as beside:
        beside.write_text(card_text(record, own), encoding="utf-8")


def card_text(record: ExportRecord, own: str = "", to_edit: bool = False) -> str:
    """The model card of an export. What was done to the model stands before the person's part, whatever that is.

    Args:
        own: the person's part (run/card_text.py).
        to_edit: whether its place is marked where there is none yet.
    """
    settings, exported = record.settings, record.exported
    behaviour = behaviour_of(settings)
    local = "model" in record.local or Path(record.model).is_absolute()
    name = Path(record.model).name if local else record.model
    adapter = record.kind == "adapter"
    front: dict[str, str | list[str]] = {}
    # The Hub refuses cards that name something else than one of its models.
    if not local and _HUB_NAME.fullmatch(name):
        front = {"base_model": name, "base_model_relation": "adapter" if adapter else "finetune"}
    front["library_name"] = "peft" if adapter else "transformers"
    # With the settings that say more of it: of this round, and of earlier ones that were about something else.
    steered = {behaviour: settings, **{behaviour_of(each.settings): each.settings for each in reversed(record.rounds)}}
    tags = {"abliterated" if each.usual else "steered" for each in steered}
    front["tags"] = [*sorted(tags), "heretic-tui"]
    figures = in_tables(record.figures)
    rows: list[tuple[str, MeasuredFigures]] = [
        ("original model", record.base),
        (f"trial {record.trial.number}, edit attached in float32", record.trial),
    ]
    if exported:
        rows.append(("these files, loaded again", exported))
    revision = f" at revision {_code(record.model_commit)}" if record.model_commit else ""
    what = "an adapter for" if adapter else "an edited copy of"
    lines = [
        "---",
        *yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=10_000).splitlines(),
        "---",
        "",
        f"# {_code(name)}, {'steered' if behaviour.added else 'ablated'}",
        "",
        f"This is {what} {_code(name)}{revision}, made with heretic-tui {__version__} by {_technique(behaviour)}",
        "",
        *_done(behaviour, settings),
        *(
            line
            for each, own in steered.items()
            if each != behaviour
            for line in ["", "In an earlier round:", *_done(each, own)]
        ),
        *_rounds(record),
        *([] if not own and not to_edit else ["", *marked(own)]),
        "",
        "## Figures",
        "",
        f"| | {' | '.join(_words(figure.name) for figure in figures)} |",
        f"|---|{'---|' * len(figures)}",
        *(f"| {label} | {' | '.join(_cell(figure, measured) for figure in figures)} |" for label, measured in rows),
        "",
        " ".join(
            f"{_words(figure.name[:1].upper() + figure.name[1:])}: {_words(figure.meaning)}."
            for figure in figures
            if figure.meaning
        ),
    ]
    lines += _overruled(record, behaviour)
    if (bits := bits_of(str(settings.get("quantization", "none")))) < 16:
        what = "beside the original model" if adapter else "and of these files"
        lines += ["", f"Figures of the trial {what} were measured with weights in {bits} bits; whole ones give others."]
    if record.written_as:
        lines += ["", _words(record.written_as)]
    if record.approximate:
        lines += ["", f"These files are approximate: {_words(record.approximate)}."]
    if not exported:
        lines += ["", "The exported files were not measured: " + _words(record.not_measured or "") + "."]
    lines += _reviewed(record)
    lines += _used(record, name if adapter else None)
    if record.note:
        lines += ["", "## Notes", "", "Of whoever exported this model:", "", *_quoted(record.note)]
    lines += ["", "## Parameters", "", "```json", json.dumps(record.parameters, indent=1), "```"]
    lines += [*_earlier_parameters(record), ""]
    lines += [
        f"Directions: {_directions(settings, record.parameters, record.identity)}; "
        f"{'' if settings['orthogonalize_direction'] else 'not '}orthogonalised against the {behaviour.good} mean. "
        f"{_several(record)}"
        f"Edits: {_edit_method(settings)}. Can be edited: {_words(record.coverage)}"
        f"{'' if record.edited is None else f'; this edit changes {record.edited} of them'}. {_left_alone(record)}"
        "Biases of edited modules were left as they are."
        + (
            " Weights have the dtype of the original's, and those that are not edited are byte for byte the same."
            if record.streamed
            else ""
        ),
        "",
        f"Searched for: {' and '.join(_words(figure.name) for figure in record.figures[:2])}. "
        f"{_chosen(record)}"
        f"Judge: {_judge(settings, behaviour)}. "
        f"Search space: {_words(space_words(settings))}.",
        "",
        *_searched(record),
        "Prompts: "
        + "; ".join(f"{behaviour.in_words(words)} {_code(_source(settings[key]))}" for key, words in _SETS.items())
        + ".",
        "",
        f"To make these files again: {_again(settings)}.",
        "",
    ]
    return "\n".join(lines)


def _rounds(record: ExportRecord) -> list[str]:
    """That the edit was made in several rounds; nothing for one."""
    if not record.rounds:
        return []
    steps = []
    for number, each in enumerate(record.rounds, start=1):
        shown = in_tables(worth_showing(record.figures, [each.figures]))
        known = [figure for figure in shown if figure.key in each.figures]
        # In the words of that round, which need not be those of this one.
        names = {REFUSALS: behaviour_of(each.settings).things}
        figures = ", ".join(
            f"{names.get(figure.key, figure.short)} {figure.text(each.figures[figure.key], each.prompts)}"
            for figure in known
        )
        steps.append(
            f"{number}. {_words(f'trial {each.trial} of run {each.run}')} ({_words(figures)}). "
            f"Directions: {_directions(each.settings, each.parameters)}. "
            f"Edits: {_edit_method(each.settings)}."
        )
    count, whose = len(record.rounds) + 1, f" of run {record.run}" if record.run else ""
    return [
        "",
        f"It was edited in {count} rounds. After each the directions were found anew, on the model that it left. These",
        "files hold the edits of all rounds. The figures below compare them with the original model, which has none.",
        "",
        *steps,
        f"{count}. {_words(f'trial {record.trial.number}{whose}')}: the rest of this card is about it.",
    ]


def _earlier_parameters(record: ExportRecord) -> list[str]:
    lines = []
    for number, each in enumerate(record.rounds, start=1):
        lines += ["", f"Those of round {number}:", "", "```json", json.dumps(each.parameters, indent=1), "```"]
    return lines


def _chosen(record: ExportRecord) -> str:
    """Where the trial is not from the search, with a blank behind."""
    if record.trial.origin:
        return f"This trial was not drawn by the search, but given to it ({_words(record.trial.origin)}). "
    return "This trial was chosen by hand, not by the search. " if record.trial.by_hand else ""


def _searched(record: ExportRecord) -> list[str]:
    """How the front was found where not every trial was decoded."""
    found = record.search
    if found is None:
        return []
    margin = MARGIN_WORDS.get(found.screening, "their errors")
    words = (
        f"Of {counted(found.trials, 'trial')} {found.decoded} were decoded; the others were passed over by cheap "
        f"estimates: what could come within {margin} of the front was to be decoded. The front rests on decoded trials "
        "alone."
    )
    if found.off is not None and found.inside is not None:
        figure = in_tables(record.figures[:2])[0]
        words += (
            f" Of {counted(found.estimated, 'trial')} that had an estimate and were decoded after it, the estimate of "
            f"{_words(figure.name)} was off by {found.off:.{1 if figure.counted else figure.digits}f} in the mean; "
            f"{found.inside:.0%} were within two standard errors."
        )
    return [words, ""]


def _reviewed(record: ExportRecord) -> list[str]:
    """What a review of the trial found, beside the original model."""
    if not record.review:
        return []
    lines = [
        "",
        "## Review",
        "",
        "Found out after the search, on prompts that neither directions nor search saw where nothing else is said; in "
        "brackets where a figure lies with a probability of 95%, by chance in the choice of prompts. Differences are "
        "tested over the same prompts (counts by McNemar's exact test, means by a test of random signs).",
        "",
        f"| | original model | trial {record.trial.number} | difference |",
        "|---|---|---|---|",
    ]
    before = ""
    for row in record.review:
        if row.check != before:
            lines.append(f"| **{_words(row.check)}** | | | |")
            before = row.check
        lines.append(f"| {_words(row.name)} | {_words(row.base)} | {_words(row.trial)} | {row.difference} |")
    return lines


def _used(record: ExportRecord, base: str | None) -> list[str]:
    """How the files are used, by the tools that can."""
    what = (
        "`MODEL` stands for the folder of these files, or for their name on the Hub; llama.cpp takes a folder, which "
    )
    what += "`hf download NAME --local-dir MODEL` makes."
    lines = ["", "## Use", "", what]
    for each in next_lines(record, "MODEL", base):
        said = f" ({_words(each.note)})" if each.note and each.lines else f" {_words(each.note)}" if each.note else ""
        lines += ["", f"{each.tool}{said}{':' if each.lines else '.'}"]
        if each.lines:
            kind = "python" if each.tool == "PEFT" else "sh"
            lines += ["", f"```{kind}", *map(plain, each.lines), "```"]
    return lines


def _technique(behaviour: Behaviour) -> str:
    """The method, in two lines, to the end of a sentence."""
    if behaviour.usual:
        return (
            "directional ablation\n"
            "(Arditi et al. 2024, *Refusal in Language Models Is Mediated by a Single Direction*)."
        )
    if behaviour.added:
        return "amplifying what its matrices write\nalong a direction (directional ablation with weights below 0)."
    return "directional ablation: what its\nmatrices write along a direction was taken out."


def _done(behaviour: Behaviour, settings: Mapping[str, object]) -> list[str]:
    """What was done to the model on purpose, in a paragraph."""
    if behaviour.is_refusals:
        return list(_STRENGTHENED if behaviour.added else _REDUCED)
    less = "strengthened" if behaviour.added else "reduced"
    name = _words(behaviour.name)
    lines = [
        f'**A behaviour of this model was deliberately {less}: "{name}". Nothing else was aimed at, and nothing is',
        "claimed of what else may have changed beyond the figures below.**",
        "",
        f'The verdict on a response is "{_words(behaviour.shown)}" or "{_words(behaviour.absent)}".',
    ]
    if settings.get("judge") == "markers" and isinstance(markers := settings.get("refusal_markers"), list):
        shown = ", ".join(_code(str(marker)) for marker in markers[:_MARKERS])
        more = f" and {len(markers) - _MARKERS} more" if len(markers) > _MARKERS else ""
        lines[-1] += f' It is "{_words(behaviour.shown)}" where one of these markers occurs in it: {shown}{more}.'
    return lines


def _judge(settings: Mapping[str, object], behaviour: Behaviour) -> str:
    name = str(settings["judge"])
    if behaviour.is_refusals:
        return _method(JUDGES, name)
    return _code(name) if name == "markers" else _method(JUDGES, name)


def _overruled(record: ExportRecord, behaviour: Behaviour) -> list[str]:
    """That a person gave other verdicts than the judge, and the counts by them."""
    found = record.overruled
    if found is None:
        return []
    counts = [
        ("trial", found.trial, found.trial_refusals, record.trial),
        ("original model", found.base, found.base_refusals, record.base),
    ]
    said = [
        f"of the {whose} {counted(verdicts, 'verdict')}, with which "
        + ("it refuses " if behaviour.usual else f"the number of {_words(behaviour.things)} is ")
        + f"{refusals} of {measured.prompts} in place of {measured.figures.get(REFUSALS)} as measured"
        for whose, verdicts, refusals, measured in counts
        if verdicts
    ]
    lines = [
        "",
        f"Verdicts of the judge that were overruled by hand: {'; '.join(said)}. The table has what was measured.",
    ]
    if found.broken:
        lines.append(f"{counted(found.broken, 'response')} of the trial made no usable text.")
    return lines


def _quoted(text: str) -> list[str]:
    """A person's text as a quotation, line by line."""
    return [f"> {_words(line)}  " if line.strip() else ">" for line in text.strip().splitlines()]


def _method(kind: Kind, name: str) -> str:
    """A method's name, and in words what it does, as far as it is installed here."""
    words = summary(kind, name).rstrip(".")
    return f"{_code(name)}, {_words(words)}" if words else _code(name)


def _edit_method(settings: Mapping[str, object]) -> str:
    """That of a round, and that its weights make more of the direction where they do."""
    words = _method(EDIT_METHODS, str(settings.get("edit_method")))
    if not behaviour_of(settings).added:
        return words
    return f"{words} (with weights below 0: more of what is written along the direction, not less)"


def _methods(settings: Mapping[str, object]) -> list[str]:
    """Those of the run, the first of which is meant where parameters name none."""
    named = settings["direction_method"]
    return [str(name) for name in named] if isinstance(named, list) else [str(named)]


def _directions(
    settings: Mapping[str, object], parameters: Mapping[str, object], identity: Mapping[str, object] | None = None
) -> str:
    """How the directions of a trial were found.

    Args:
        identity: of the run, where it is known.
    """
    names, chosen = _methods(settings), parameters.get("direction_method")
    name = names[0] if chosen is None else str(chosen)
    words = behaviour_of(settings).in_words(_method(DIRECTION_METHODS, name))
    digest = (identity or {}).get("direction_file")
    if name == "from_file" and isinstance(digest, str):
        words += f" (a file with the SHA-256 {_code(digest)})"
    if len(names) > 1:
        words += f" (the search chose among {', '.join(_code(each) for each in names)})"
    return words


def _several(record: ExportRecord) -> str:
    """How many directions a layer has where it has several, with a blank behind."""
    if record.rank == 1:
        return ""
    how = ", taken out together with one weight"
    if record.settings.get("direction_weights") == "each":
        how = ": the first is taken out with the kernel's weight, each other one with its share of it (`shares`)"
    return f"Each layer has {record.rank} directions{how}. The edit is of rank {record.rank}. "


def _left_alone(record: ExportRecord) -> str:
    """What the mask of layers leaves alone, with a blank behind."""
    if not record.settings.get("layer_mask"):
        return ""
    if record.left_alone:
        layers = f"layer{'s' if len(record.left_alone) > 1 else ''} {ranges(record.left_alone)}"
        return f"Left alone, for both sets of prompts lie on one side of the direction there: {layers}. "
    if record.edited is None:
        return "Layers in which both sets of prompts lie on one side of the direction are left alone. "
    return "No layer was left alone: everywhere the two sets of prompts lie on different sides of the direction. "


def _again(settings: Mapping[str, object]) -> str:
    """How to make the files again."""
    names = _methods(settings)
    flags = [flag for name, flag in _NOT_NAMED.items() if name in names]
    words = f"`{' '.join(['heretic-tui reproduce reproduce.json OUT', *flags])}`"
    return f"{words} (with what was used here, which this card does not name)" if flags else words


def _cell(figure: Figure, measured: MeasuredFigures) -> str:
    value = measured.figures.get(figure.key)
    if figure.counted and value is not None:
        return f"{value} of {measured.prompts}"
    # Of files that were loaded again, how refusals begin is not found anew.
    return figure.text(value) or "not measured"


def _source(prompts: object) -> str:
    """Where the prompts of a set came from, as the record's settings have it."""
    if not isinstance(prompts, dict):
        return str(prompts)
    dataset = str(prompts["dataset"])
    name = Path(dataset).name if Path(dataset).is_absolute() else dataset
    return name + (f" {prompts['split']}" if prompts.get("split") else "")


def _code(text: str) -> str:
    """A name as Markdown's code: in more backticks than it has in a row, so that it cannot end them."""
    text = plain(text)[:200] or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _words(text: str) -> str:
    """A text whose characters mean nothing to Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~])", r"\\\1", plain(text))
