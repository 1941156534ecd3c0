"""What the Compare screen says: an answer with what differs and what decided its verdict set off, the verdicts of a
prompt, and the head of each side."""

from __future__ import annotations

import difflib
import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from heretic_tui.behaviour import Behaviour
from heretic_tui.figures import in_tables, worth_showing
from heretic_tui.report.annotations import base_overruled_words, overruled_words
from heretic_tui.report.lines import direction_words
from heretic_tui.run.annotations import Annotations
from heretic_tui.run.answers import Answer, looks_broken
from heretic_tui.run.results import SetShift
from heretic_tui.run.review_records import Models
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.tui.comparison import Place, Whose
from heretic_tui.tui.glyphs import Glyphs, safe_lines
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.trial_figures import figures_of, sign_of, signs_of
from heretic_tui.tui.widgets.charts import drawn_strengths, kernel_strengths
from heretic_tui.verdict import broken_words
from heretic_tui.words import plain

# Words of an answer that are compared; the rest of a longer one is not.
_MOST_WORDS = 800
# Of two answers that have less in common than this, all words differ: there is nothing to set off.
_ALIKE = 0.2
# Cells of a kernel drawn over the layers, and tokens that are named.
_STRIP, _TOKENS = 32, 3


def side_name(whose: Whose, models: Models | None = None) -> str:
    """41; original, as tables have it; edited, where two models are compared without a run."""
    return "original" if whose is None else "edited" if models else str(whose)


def verdict_cell(
    answer: Answer | None, annotations: Annotations, glyphs: Glyphs, behaviour: Behaviour
) -> tuple[str, str]:
    """A verdict as the table has it, with a sign where a person gave it; and the kind of the cell."""
    said = answer.said(annotations) if answer else None
    if answer is None or said is None:
        return "-", "dim"
    sign = glyphs.overruled if answer.overruled(annotations) else ""
    return behaviour.said(said) + sign, {"refused": "bad", "answered": "good"}.get(said, "busy")


def said_beside(answer: Answer | None) -> tuple[str, str]:
    """Second opinion and what is broken, as the table has them; empty where nothing was said."""
    reviewed = answer.reviewed if answer else None
    return (plain(reviewed.opinion or ""), plain(reviewed.broken or "")) if reviewed else ("", "")


@dataclass(frozen=True)
class Drawing:
    """What texts of this screen are drawn with."""

    annotations: Annotations
    look: Looks
    glyphs: Glyphs
    # Of the side.
    colour: str
    behaviour: Behaviour


def verdict_line(answer: Answer, drawing: Drawing) -> Text:
    """Under an answer: the verdict and who gave it, what decided it, how long it is, and whether it is whole."""
    look, glyphs = drawing.look, drawing.glyphs
    said = answer.said(drawing.annotations)
    if not answer.known:
        return Text("no verdict: the trial was cut short before this prompt was decided", look.dim)
    text = Text()
    if said is None:
        text.append("no verdict", look.dim)
    else:
        sign, colour = {"refused": (glyphs.failed, look.bad), "answered": (glyphs.done, look.good)}.get(
            said, (glyphs.failed, look.busy)
        )
        text.append(f"{sign} {drawing.behaviour.said(said)}", colour)
    verdict = answer.verdict
    if answer.overruled(drawing.annotations):
        text.append(
            f" {glyphs.overruled} by you; the judge: {drawing.behaviour.verdict(bool(answer.judged))}", look.focus
        )
    elif answer.judged_otherwise and verdict:
        text.append(f"; on the whole text the judge says {drawing.behaviour.verdict(verdict.refused)}", look.busy)
    facts = _what_decided(answer)
    if answer.tokens is not None:
        facts.append(f"{answer.tokens} token{'' if answer.tokens == 1 else 's'}")
    facts.append("greedy")
    if answer.full and answer.full.ended == "length":
        facts.append(f"cut at {answer.full.limit} tokens")
    elif not answer.whole:
        facts.append(
            "cut where its verdict was certain: d decodes the rest" if not answer.reviewed else "cut at the limit"
        )
    if answer.full and answer.full.same is False:
        facts.append("decoded anew it begins otherwise than as it was measured")
    if answer.reviewed and answer.reviewed.broken:
        facts.append(": ".join(plain(part) for part in (answer.reviewed.broken, answer.reviewed.why_broken) if part))
    elif looks_broken(answer.text) and said != "broken" and not (verdict and verdict.broken):
        facts.append("looks broken")
    facts += _beside_the_judge(answer, drawing.behaviour)
    text.append(f" {glyphs.dot} " + f" {glyphs.dot} ".join(facts), look.dim)
    return text


def _what_decided(answer: Answer) -> list[str]:
    """Why it has its verdict, and whether it is broken, unless its review says more of that."""
    verdict = answer.verdict
    if verdict and verdict.broken:
        return [] if answer.reviewed and answer.reviewed.broken else [plain(broken_words(verdict.broken))]
    if verdict and (verdict.refused or verdict.marker):
        if verdict.marker is None:
            return ["no marker occurs in it"]
        return [f'marker "{plain(verdict.marker)}"' if verdict.marker else "the response is empty"]
    return []


def _beside_the_judge(answer: Answer, behaviour: Behaviour) -> list[str]:
    """What a review knows of a held-out answer beside the judge's verdict."""
    facts = []
    if answer.reviewed and answer.reviewed.opinion:
        differs = " (differs)" if answer.reviewed.disagreement else ""
        facts.append(f"second opinion: {plain(answer.reviewed.opinion)}{differs}")
    if answer.reviewed and answer.reviewed.expected is not None:
        facts.append(f"should be {behaviour.verdict(answer.reviewed.expected)}")
    return facts


def answer_text(answer: Answer | None, other: Answer | None, place: Place, drawing: Drawing, missing: str) -> Text:
    """An answer, with the words underlined in which it differs from the other side's, and the marker that made it a
    refusal in red; then its verdict.

    Args:
        place: of the marker in the text.
        missing: what is said where there is no answer.
    """
    if answer is None:
        return Text(missing, drawing.look.dim)
    text = Text()
    if answer.known:
        spans = [(start, end, "underline") for start, end in _differing(answer, other)]
        if place:
            spans.append((*place, f"bold {drawing.look.bad}"))
        text = _styled(answer.text, spans) if answer.text else Text("(empty)", drawing.look.dim)
        if not answer.whole:
            text.append(f" {drawing.glyphs.ellipsis}", drawing.look.dim)
        text.append("\n\n")
    return text.append_text(verdict_line(answer, drawing))


def _differing(answer: Answer, other: Answer | None) -> list[tuple[int, int]]:
    """Where in an answer words are that the other one does not have there."""
    if other is None or not other.known or not other.text:
        return []
    return _differing_words(answer.text, other.text)


@functools.lru_cache(maxsize=64)
def _differing_words(text: str, other: str) -> list[tuple[int, int]]:
    own = list(re.finditer(r"\S+", text))[:_MOST_WORDS]
    theirs = other.split()[:_MOST_WORDS]
    matcher = difflib.SequenceMatcher(None, [word[0] for word in own], theirs, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return []
    pieces = [(start, end) for kind, start, end, _, _ in matcher.get_opcodes() if kind != "equal" and end > start]
    return [(own[start].start(), own[end - 1].end()) for start, end in pieces]


def _styled(text: str, spans: Sequence[tuple[int, int, str]]) -> Text:
    """Anybody's text with styles from one place to another. What is made visible takes more room than it took, so the
    text is put together from its pieces."""
    ends = sorted({0, len(text), *(min(edge, len(text)) for start, end, _ in spans for edge in (start, end))})
    shown = Text()
    for start, end in itertools.pairwise(ends):
        styles = [style for first, last, style in spans if first <= start and end <= last]
        shown.append_text(safe_lines(text[start:end], " ".join(styles)))
    return shown


def side_title(whose: Whose, state: RunState, annotations: Annotations, glyphs: Glyphs) -> str:
    """41 ◆ ★ 3/100 KL 0.0812; original 96/100."""
    if whose is None:
        base = state.base
        figures = [f for f in worth_showing(state.figures, [base.figures]) if f.counted] if base else []
        texts = [figure.text(base.figures.get(figure.key), base.prompts) for figure in figures if base]
        return " ".join(["original model", *texts])
    signs, trial = signs_of(whose, state, annotations, glyphs), state.trials.get(whose)
    return " ".join([f"trial {whose}", *signs, *(figures_of(trial, state.figures, glyphs) if trial else [])])


def model_text(whose: Whose, models: Models, drawing: Drawing) -> Text:
    """What is known of one of two models that are compared without a run: where it lies."""
    return safe_lines(models.base if whose is None else models.edited, drawing.colour)


def head_text(whose: Whose, state: RunState, shift: dict[str, SetShift] | None, drawing: Drawing) -> Text:
    """All that is known of a side: figures, the shape of its edit, what it does to first tokens, what people say."""
    look, glyphs = drawing.look, drawing.glyphs
    if whose is None:
        text = Text("The original model, without an edit.\n", drawing.colour)
        if words := base_overruled_words(state.base, state.base_correction):
            text.append(f"{glyphs.overruled} {words}\n", look.focus)
        return text
    trial = state.trials.get(whose)
    text = Text()
    if trial is None:
        return text.append("This trial is not known (any more).", look.dim)
    base = state.base.figures if state.base else {}
    for figure in in_tables(worth_showing(state.figures, [trial.figures, trial.at_least])):
        known = figure.text(trial.shown(figure), more_digits=1) or "-"
        sign = sign_of(trial, figure, glyphs)
        if figure.counted:
            original = f" (original: {base[figure.key]})" if figure.key in base else ""
            name = figure.participle or figure.short
            text.append(f"{plain(name)} {sign}{known} of {trial.prompts}{original}  ")
        else:
            text.append(f"{plain(figure.short)} {sign}{known}  ")
    text.append("\n")
    if words := overruled_words(trial, state.figures):
        text.append(f"{glyphs.overruled} {words}\n", look.focus)
    if trial.state == "dominated":
        sure = "it could not win any more" if state.surely_beaten(trial) else "with your verdicts it might still win"
        text.append(f"cut short: {sure}\n", look.dim)
    _append_edit(text, trial, state, drawing)
    said = [*(f"#{tag}" for tag in drawing.annotations.tags(whose))]
    if line := drawing.annotations.first_line(whose):
        said.append(f"note: {plain(line)}")
    if said:
        text.append(" ".join(said) + "\n", look.focus)
    for name, found in (shift or {}).items():
        if name.startswith("bad") and (words := _moved(found)):
            text.append(f"first tokens: {words}\n")
    text.rstrip()
    return text


def _append_edit(text: Text, trial: TrialRecord, state: RunState, drawing: Drawing) -> None:
    """The edit: each component's strength over the layers, and whose direction is taken."""
    if trial.parameters is None:
        return
    layers = state.model.layers if state.model else 0
    for name, kernel in trial.parameters.components.items():
        text.append(f"{plain(name.partition('.')[0]):4.12} ", drawing.look.dim)
        if layers:
            drawn = drawn_strengths(kernel_strengths(kernel, layers), _STRIP, drawing.glyphs)
            text.append(f"{drawn} ", drawing.colour)
        text.append(f"{kernel.max_weight:.2f} @ layer {kernel.max_weight_position:.1f}\n")
    text.append(f"{direction_words(trial.parameters, state.rank_of(trial.parameters))}\n")


def _moved(found: SetShift) -> str:
    """The tokens whose probability as the first one changed most."""
    moved = sorted([*found.gained, *found.lost], key=lambda each: -abs(each[1]))[:_TOKENS]
    return " ".join(f'"{plain(token)}" {change * 100:+.0f} %' for token, change in moved)
