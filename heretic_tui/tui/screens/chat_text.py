"""What the chat screen says: a turn in one column, a verdict in a line, titles, what an answer waits for, samples, and
what a turned edit does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from heretic_tui.behaviour import USUAL, Behaviour
from heretic_tui.events import PHASES, TriedAnswer
from heretic_tui.figures import in_tables, worth_showing
from heretic_tui.run.annotations import Annotations
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.tui.conversation import Answer, Turn, Who
from heretic_tui.tui.glyphs import Glyphs, safe_lines
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.sampling import Drawn
from heretic_tui.tui.screens.trials_table import heading
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.trial_figures import figure_text, figures_of, signs_of
from heretic_tui.tui.tweak import Tweak
from heretic_tui.tui.widgets.painted_line import joined
from heretic_tui.verdict import Verdict, broken_words
from heretic_tui.words import plain

LETTERS = "ABC"


@dataclass(frozen=True)
class Drawing:
    """What texts are drawn with; `timed`: whether what depends on the clock is shown."""

    look: Looks
    glyphs: Glyphs
    timed: bool = True
    behaviour: Behaviour = USUAL

    @property
    def colours(self) -> tuple[str, str, str]:
        """Those of the columns, where they do not hold the original model."""
        return self.look.link, self.look.focus, self.look.busy


def turn_text(turn: Turn, answer: Answer | None, waits_for: str, drawing: Drawing) -> Text:
    """A turn in the column of a model: what the person said, and what the model answered; None where it was not
    asked.

    Args:
        waits_for: whose answer comes first.
    """
    look, glyphs = drawing.look, drawing.glyphs
    if answer is None:
        return Text(f"{glyphs.closed} not asked here", look.dim)
    # The style of a text itself would be that of all that is put behind it.
    text = Text.assemble((f"{glyphs.closed} ", f"bold {look.link}"))
    text.append_text(safe_lines(turn.user, f"bold {look.link}"))
    text.append("\n\n")
    if answer.text:
        text.append_text(marked_text(answer.text, answer.verdict, look)).append("\n")
    return text.append_text(answer_line(answer, waits_for, drawing))


def marked_text(said: str, verdict: Verdict | None, look: Looks) -> Text:
    """A model's text, with the marker that made it a refusal underlined in red."""
    start, end = (verdict.start, verdict.end) if verdict else (None, None)
    if start is None or end is None or not 0 <= start < end <= len(said):
        return safe_lines(said)
    # What is made visible takes more room than it took, so the text is put together from its pieces.
    text = safe_lines(said[:start])
    text.append_text(safe_lines(said[start:end], f"underline bold {look.bad}"))
    return text.append_text(safe_lines(said[end:]))


def answer_line(answer: Answer, waits_for: str, drawing: Drawing) -> Text:
    """Under an answer: its verdict, its length, its pace; or what it is at."""
    look, glyphs = drawing.look, drawing.glyphs
    if answer.reason is None:
        if answer.started:
            pace = [f"{answer.pieces} tok", *_pace(answer.pieces, answer.seconds, drawing)]
            return Text(f"{glyphs.ellipsis} {_dotted(pace, glyphs)}", look.busy)
        return Text(f"{glyphs.ellipsis} waits{f' for {waits_for}' if waits_for else ''}", look.dim)
    if answer.reason == "failed":
        return Text(f"{glyphs.failed} failed: {safe_lines(answer.error or '').plain}", f"bold {look.bad}")
    facts = [f"{answer.tokens} tok", *_pace(answer.tokens, answer.seconds, drawing)]
    if answer.reason == "length":
        facts.append("cut at the length limit")
    elif answer.reason == "stopped":
        facts.append("stopped")
    text = verdict_words(answer.verdict, answer.no_verdict, drawing)
    return text.append(f" {glyphs.dot} {_dotted(facts, glyphs)}", look.dim)


def verdict_words(verdict: Verdict | None, why_none: str | None, drawing: Drawing) -> Text:
    """refused or answered, with its sign; or why there is no verdict."""
    look, glyphs = drawing.look, drawing.glyphs
    if verdict is None:
        return Text(plain(why_none) if why_none else "no verdict", look.dim)
    if not verdict.refused:
        text = Text(f"{glyphs.done} {drawing.behaviour.other}", look.good)
        return text.append(f" ({broken_words(verdict.broken)})", look.busy) if verdict.broken else text
    why = broken_words(verdict.broken) if verdict.broken else "empty" if verdict.marker == "" else ""
    return Text(f"{glyphs.failed} {drawing.behaviour.counted}{f' ({why})' if why else ''}", look.bad)


def _pace(tokens: int, seconds: float, drawing: Drawing) -> list[str]:
    return [f"{tokens / seconds:.0f} tok/s"] if drawing.timed and seconds > 0 and tokens > 1 else []


def _dotted(parts: Sequence[str], glyphs: Glyphs) -> str:
    return f" {glyphs.dot} ".join(parts)


def column_title(place: int, who: Who, state: RunState, annotations: Annotations, drawing: Drawing) -> Text:
    """A  original model (91/100); B  trial 41 ★ (3/100, KL 0.081); C  trial 41, tweaked."""
    text = Text(f"{LETTERS[place]}  {who.name}", column_colour(place, who, drawing))
    glyphs = drawing.glyphs
    if who.tweaked:
        return text
    if who.trial is None:
        if state.base:
            shown = [figure for figure in in_tables(state.figures)[:2] if figure.counted]
            counted = [figure.text(state.base.figures.get(figure.key), state.base.prompts) for figure in shown]
            text.append(f" ({', '.join(counted)})" if counted else "")
        return text
    text.append("".join(f" {sign}" for sign in signs_of(who.trial, state, annotations, glyphs)))
    if trial := state.trials.get(who.trial):
        text.append(f" ({', '.join(figures_of(trial, state.figures, glyphs))})")
    return text


def column_colour(place: int, who: Who, drawing: Drawing) -> str:
    return drawing.look.base if who.trial is None else drawing.colours[place]


def head_line(columns: Sequence[Who], active: int, width: int, drawing: Drawing) -> Text:
    """Who answers, column by column, the active one in brackets."""
    parts = []
    for place, who in enumerate(columns):
        words = f"{LETTERS[place]} {who.name}"
        parts.append((f"[{words}]" if place == active else words, column_colour(place, who, drawing)))
    return joined(parts, width)


def waiting_words(view: RunView) -> str:
    """What an answer waits for, what is being said, or why nothing can be."""
    talk = view.conversations
    if not view.can_ask:
        return view.no_engine
    waiting = [answer for answer in talk.open if not answer.started]
    if waiting and len(waiting) == len(talk.open):
        return f"Waiting: {_waits_for(view)}. Esc takes the message back."
    if talk.open:
        return "Stopping." if all(answer.stopping for answer in talk.open) else "Answering. Esc stops it."
    if view.samples.open and view.samples.latest:
        made = len(view.samples.latest.made)
        return "Drawing samples. Esc stops it." if made else f"Samples: waiting: {_waits_for(view)}. Esc stops it."
    if view.tweak and view.tweak.open and not view.tweak.answers and (why := _held_up_by(view)):
        return f"The edit is tried later: {why}."
    return ""


def _waits_for(view: RunView) -> str:
    return _held_up_by(view) or "its turn comes next"


def _held_up_by(view: RunView) -> str | None:
    """What has to end before the model can say anything; None where it answers beside whatever goes on."""
    phase = view.state.phase
    steps = PHASES[: PHASES.index("search")]
    if phase in steps or phase is None:
        step = f" (step {steps.index(phase) + 1} of {len(steps) + 1})" if phase else ""
        return f"the model is still being prepared{step}"
    if export := view.exports.in_hand:
        return f"trial {export.trial} is being exported"
    return None


def samples_text(drawn: Drawn, at: int, drawing: Drawing) -> Text:
    """The share refused of each model, and one answer of each."""
    look, glyphs = drawing.look, drawing.glyphs
    text = Text()
    for place, who in enumerate(drawn.whom):
        refused, made = drawn.share(place)
        text.append(f"{LETTERS[place]} ", column_colour(place, who, drawing))
        text.append(
            f"{refused} of {made} {drawing.behaviour.counted}   ",
            look.bad if refused else look.good if made else look.dim,
        )
    if drawn.ended and drawn.ended.reason == "failed":
        text.append(f"\nfailed: {safe_lines(drawn.ended.error or '').plain}", look.bad)
    elif drawn.ended is None:
        text.append(glyphs.ellipsis, look.busy)
    for place, who in enumerate(drawn.whom):
        sample = drawn.made.get((place, at))
        text.append(f"\n{LETTERS[place]} {at + 1} of {drawn.command.count}  ", column_colour(place, who, drawing))
        if sample is None:
            text.append("not drawn" if drawn.ended else glyphs.ellipsis, look.dim)
            continue
        text.append_text(verdict_words(sample.verdict, None, drawing))
        text.append(f" {glyphs.dot} {sample.tokens} tok\n", look.dim)
        text.append_text(marked_text(sample.text, sample.verdict, look))
    return text


def tweak_figures(tweak: Tweak, state: RunState, drawing: Drawing) -> Text:
    """What a turned edit is expected to measure, beside what its trial measured; of one that was not turned the trial's
    own figures."""
    look, glyphs = drawing.look, drawing.glyphs
    figures, ended, trial = tweak.figures, tweak.ended, state.trials.get(tweak.trial)
    text = Text()
    if ended and ended.reason == "failed":
        return text.append(f"failed: {safe_lines(ended.error or '').plain}", look.bad)
    if trial and not tweak.changed:
        return _figures_of_trial(trial, state, drawing)
    if figures is None:
        return text.append(f"est. {drawing.behaviour.counted} and KL {glyphs.ellipsis}" if tweak.open else "", look.dim)
    current = tweak.asked is not None and figures.id == tweak.asked.id
    style = look.ink if current else look.dim
    if figures.expected_refusals is not None:
        text.append(
            f"{drawing.behaviour.counted} {glyphs.about}{figures.expected_refusals:.1f}/{figures.harmful_of}", style
        )
        part = f", {figures.harmful} looked at" if figures.harmful < figures.harmful_of else ""
        text.append(f" expected by how they begin{part}\n", look.dim)
    elif ended and ended.no_estimate:
        text.append(f"no estimate of {drawing.behaviour.things}: {plain(ended.no_estimate)}\n", look.dim)
    for figure in state.figures:
        if figure.key not in figures.figures:
            continue
        whole = figures.harmless == figures.harmless_of
        before = trial.figures.get(figure.key) if trial else None
        text.append(f"{plain(figure.short)} ", style)
        if before is not None:
            text.append(f"{figure.text(before, more_digits=1)} {glyphs.becomes} ", look.dim)
        text.append(f"{'' if whole else glyphs.about}{figure.text(figures.figures[figure.key], more_digits=1)}", style)
        text.append("\n" if whole else f" over {figures.harmless} of {figures.harmless_of}\n", look.dim)
    text.rstrip()
    return text


def _figures_of_trial(trial: TrialRecord, state: RunState, drawing: Drawing) -> Text:
    """Each figure of a trial in a line."""
    text = Text(f"trial {trial.number} as it is:\n", drawing.look.dim)
    figures = in_tables(worth_showing(state.figures, [trial.figures, trial.at_least]))
    shown = [(heading(figure), figure_text(trial, figure, drawing.glyphs)) for figure in figures]
    return text.append("\n".join(f"{name} {value}" for name, value in shown if value), drawing.look.ink)


def pinned_text(tweak: Tweak, drawing: Drawing) -> Text:
    """The pinned prompts with what the edit answers to them."""
    look = drawing.look
    answers = dict(tweak.answered)
    text = Text()
    if not tweak.pinned:
        return text.append("No prompt is pinned. P pins the last message.", look.dim)
    for prompt in tweak.pinned:
        text.append(f"{drawing.glyphs.closed} ", f"bold {look.link}")
        text.append_text(safe_lines(prompt, f"bold {look.link}")).append("\n")
        text.append_text(_tried(answers.get(prompt), drawing)).append("\n")
    text.rstrip()
    return text


def _tried(answer: TriedAnswer | None, drawing: Drawing) -> Text:
    glyphs, look = drawing.glyphs, drawing.look
    if answer is None:
        return Text(glyphs.ellipsis, look.dim)
    text = marked_text(answer.text, answer.verdict, look)
    if answer.ended is None:
        return text.append(f" {glyphs.ellipsis}", look.busy)
    text.append(f"{glyphs.ellipsis} " if answer.ended == "length" else " ")
    return text.append_text(verdict_words(answer.verdict, None, drawing))
