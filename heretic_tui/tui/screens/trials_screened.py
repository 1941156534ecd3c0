"""What is known of a trial that was screened, in sentences: why it was not decoded, and what its estimates rest on."""

from __future__ import annotations

from rich.text import Text

from heretic_tui.figures import Figure, in_tables
from heretic_tui.run.screened import MARGIN_WORDS, beaten_by, margin_of
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.trial_figures import estimate_words


def screened_text(trial: TrialRecord, state: RunState, alive: bool, look: Looks, glyphs: Glyphs) -> Text:
    """Sentences on a trial that is screened, or was before it was decoded.

    Args:
        alive: whether an engine is at work on the run.
    """
    text = Text()
    if trial.state != "screened":
        known = [figure for figure in in_tables(state.figures) if figure.key in trial.estimate]
        said = ", ".join(f"{_of(figure, trial, glyphs)}" for figure in known)
        return text.append(f"Decoded after it was screened{f'; its estimate was {said}' if said else ''}.\n", look.dim)
    if trial.runs and alive:
        refused, judged = trial.so_far or (0, 0)
        text.append(
            f"Its verdicts are being decoded: {refused} of {judged} are {state.behaviour.counted_so_far} so far.\n",
            look.busy,
        )
    else:
        text.append(f"Screened: not decoded. {_why(trial, state, alive)}\n", look.busy)
    return text.append(f"{_rests_on(trial, state)}\n", look.dim)


def _of(figure: Figure, trial: TrialRecord, glyphs: Glyphs) -> str:
    """What was estimated of a figure that has been measured since."""
    before = TrialRecord(trial.number, None, estimate=trial.estimate, error=trial.error)
    return f"{figure.participle or figure.short} {estimate_words(before, figure, glyphs)}"


def _why(trial: TrialRecord, state: RunState, alive: bool) -> str:
    words = MARGIN_WORDS.get(state.screening, MARGIN_WORDS["safe"])
    better = beaten_by(trial, state.front(), state.objectives, margin_of(state.screening))
    if better:
        return f"Trial {better.number} beats it, even where its estimates are off by {words}. (d decodes it)"
    if alive and state.phase == "search":
        return (
            f"It could be on the front within {words}: it is decoded before the search ends, unless the trials decoded "
            "until then say that it is beaten. (d decodes it now)"
        )
    if state.finished >= state.n_trials:
        return "This estimate left that open; by what the search learnt after it, it is beaten. (d decodes it)"
    return f"By this estimate it could be on the front within {words}. (d decodes it)"


def _rests_on(trial: TrialRecord, state: RunState) -> str:
    """Estimated from 25 of 100 harmless and 50 of 100 harmful prompts, without their responses."""
    base = state.base
    sizes = {"good": base.harmless if base else None, "bad": base.prompts if base else None}
    parts = []
    for name, words in (("good", state.behaviour.good), ("bad", state.behaviour.bad)):
        if (seen := trial.looked_at.get(name)) is not None:
            size = sizes[name]
            parts.append(
                f"{'all ' if seen == size else ''}{seen}{f' of {size}' if size and seen < size else ''} {words}"
            )
    return f"Its figures are from {' and '.join(parts)} prompts; no response was decoded."
