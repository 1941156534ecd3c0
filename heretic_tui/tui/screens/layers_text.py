"""What is known of the layers, as text for the panes of the Layers screen."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace

from rich.text import Text

from heretic_tui import events as ev
from heretic_tui.behaviour import Behaviour
from heretic_tui.events import PHASES
from heretic_tui.layer_figures import LayerFigures, ScoredTokens, best_layer, layer_name
from heretic_tui.report.finding import Finding, finding, where_mediated
from heretic_tui.report.layers import EFFECT_MEANINGS, EFFECT_WORDS
from heretic_tui.run.state import RunState
from heretic_tui.tui.glyphs import ASCII, Glyphs, fit, to_ascii
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.charts import bar, histogram, nearest_layers
from heretic_tui.words import duration, plain

# Cells of a token with its score, and of the bar beside them.
_TOKEN, _SCORE, _BAR = 15, 6, 8
# The colour of each effect (tui/themes.py), in texts as in curves.
EFFECT_LOOKS = {"stream": "link", "add": "focus", "edit": "dim"}


def layer_title(index: int, found: ev.LayersAnalysed | None = None) -> str:
    """What a residual index is called; with the record of the layers, a star at the best one."""
    best = best_layer(found.layers) if found else None
    star = " * (best)" if best and best.index == index else ""
    return ("Embedding output" if index == 0 else f"Layer {index - 1}") + star


def found_of(state: RunState) -> Finding:
    known = state.analysis
    return finding(known.layers, known.refusal, state.behaviour) if known else Finding(where_mediated(state.behaviour))


def waiting(state: RunState, alive: bool, wanted: str) -> str:
    """Why something is not there yet, and how far the run is.

    Args:
        wanted: what is missing, as the sentence begins.
    """
    if not alive:
        return f"{wanted} This run ended before that." if state.opened else "No run is open."
    phase = state.phase
    steps = PHASES[: PHASES.index("search") + 1]
    words = [wanted]
    if phase in steps[:-1]:
        words.append(f"Preparing: step {steps.index(phase) + 1} of {len(steps)}, {phase}.")
    if progress := state.progress:
        words.append(progress_words(progress))
    return "\n".join(words)


def progress_words(progress: ev.Progress) -> str:
    """How far a stage is, and the time that it still takes."""
    left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
    return f"{plain(progress.stage)}: {progress.done} of {progress.total}{left}"


def not_analysed(state: RunState, alive: bool, can_ask: bool, asked: bool) -> str:
    """Why the layers have not been analysed, when they will be, and how to have it now.

    Args:
        can_ask: whether an engine is there that can be asked for it.
        asked: whether it was, and has not begun.
    """
    if not alive:
        done = bool(state.trials) and state.finished >= state.n_trials
        when = "the run is resumed" if done else "the search is done"
        return f"The layers have not been analysed. R on Runs (0) resumes this run: they are when {when}."
    if state.phase == "layers":
        progress = state.progress
        return "The layers are being analysed." + (f"\n{progress_words(progress)}" if progress else "")
    if asked:
        when = "between trials" if state.finished else "when the first trial has ended"
        return f"Waiting: the layers are analysed {when}; esc cancels."
    how = "\na: analyse them now, between trials." if can_ask else ""
    return f"The layers have not been analysed yet: they will be when the search is done.{how}"


def listed(points: Sequence[str], width: int, glyphs: Glyphs) -> str:
    """Sentences as a list, broken at `width` cells."""
    bullet = "- " if glyphs is ASCII else "\N{BULLET} "
    return "\n".join(
        textwrap.fill(plain(point), max(20, width), initial_indent=bullet, subsequent_indent="  ") for point in points
    )


def finding_text(state: RunState, missing: str, index: int, width: int, look: Looks, glyphs: Glyphs) -> Text:
    """The finding in a list, then the selected layer and how the prompts lie along its direction.

    Args:
        missing: in place of the finding where there is none; all that is shown where there are no directions.
    """
    directions, found = state.directions, state.analysis
    if directions is None:
        return Text(missing)
    text = Text()
    if found is None:
        text.append("\n".join(textwrap.fill(line, max(20, width)) for line in missing.split("\n")) + "\n\n", look.dim)
    else:
        for note in found.notes:
            text.append(textwrap.fill(f"Note: {plain(note)}", max(20, width)) + "\n", look.busy)
        if points := found_of(state).points:
            text.append(listed(points, width, glyphs) + "\n\n")
    text.append_text(_layer_facts(state, index, width, look))
    if index < len(directions.histograms):
        text.append("Projection onto the direction\n", "bold")
        text.append_text(histogram(directions.histograms[index], width, look, glyphs, state.behaviour))
    return text


def _layer_facts(state: RunState, index: int, width: int, look: Looks) -> Text:
    """Two lines on a layer, three where the AUC does not fit; one more where the mask leaves it alone."""
    directions, found = state.directions, state.analysis
    assert directions is not None
    layer = directions.layers[index]
    text = Text()
    text.append(layer_title(index, found), f"bold {look.link}")
    text.append(
        f"  |r| {layer.difference_norm:.2f}   separation {layer.separation:.1f} sd   {layer.surviving:.0%} kept\n"
    )
    good, bad = state.behaviour.good, state.behaviour.bad
    norms = f"Mean norm: {good} {layer.good_norm:.2f}, {bad} {layer.bad_norm:.2f}"
    text.append(norms)
    apart = found.layers[index].separation if found else None
    if apart and apart.auc is not None and apart.auc_low is not None and apart.auc_high is not None:
        area = f"AUC {apart.auc:.3f} [{apart.auc_low:.2f}, {apart.auc_high:.2f}]"
        text.append(("   " if len(norms) + len(area) + 3 <= width else "\n") + area)
    text.append("\n")
    if index - 1 in directions.left_alone:
        words = "- Not edited: both sets lie on the same side of its direction (mask of layers)."
        text.append(textwrap.fill(words, max(20, width)) + "\n")
    return text


def lens_title(row: LayerFigures, method: str) -> str:
    """What the tokens are those of.

    Args:
        method: that the direction was found by; empty in a run with one.
    """
    what = f", mean difference within {len(row.directions)} directions" if row.directions else " direction"
    name = "Embedding output" if row.layer is None else f"Layer {row.layer}{what}"
    return f"{name}{f' ({method})' if method else ''}, logit lens; promotes / suppresses"


def _not_read(row: LayerFigures) -> str | None:
    if row.raises is None or row.lowers is None:
        return "The directions have not been read."
    return None if row.raises or row.lowers else "There is no direction here."


def _groups(row: LayerFigures, look: Looks) -> tuple[tuple[str, ScoredTokens, str], ...]:
    return ("promotes", row.raises or (), look.good), ("suppresses", row.lowers or (), look.bad)


def _longest(row: LayerFigures) -> float:
    return max((abs(score) for _, score in (*(row.raises or ()), *(row.lowers or ()))), default=0.0) or 1.0


def lens_lines(row: LayerFigures, width: int, height: int, look: Looks, glyphs: Glyphs) -> Text:
    """The strongest tokens side by side, as many as fit: half of the lines for those that are promoted."""
    if problem := _not_read(row):
        return Text(problem)
    text, longest = Text(no_wrap=True), _longest(row)
    each = _TOKEN + _SCORE + _BAR + 3
    across, lines = max(1, (width - 12) // each), max(1, height // 2)
    for word, tokens, style in _groups(row, look):
        for line in range(lines):
            shown = tokens[line * across : (line + 1) * across]
            text.append(f"{word if line == 0 else '':12}", "bold")
            for token, score in shown:
                text.append(f"{fit(repr(token), _TOKEN)} {score:+{_SCORE}.1f} ")
                text.append(f"{bar(abs(score) / longest, _BAR, glyphs):{_BAR}} ", style)
            text.append("\n")
    text.right_crop(1)
    return text


def lens_table(row: LayerFigures, width: int, look: Looks, glyphs: Glyphs) -> Text:
    """All tokens that were kept, one a line; both sides beside each other where there is room. Of several directions
    those of the mean difference within their space, then those of each."""
    if problem := _not_read(row):
        return Text(problem)
    tables = [_lens_table(row, width, look, glyphs)]
    for place, each in enumerate(row.directions, 1):
        one = replace(row, raises=each.raises, lowers=each.lowers)
        title = Text(f"Direction {place} of {len(row.directions)}\n", f"bold {look.link}")
        tables.append(title.append_text(_lens_table(one, width, look, glyphs)))
    return Text("\n\n").join(tables)


def _lens_table(row: LayerFigures, width: int, look: Looks, glyphs: Glyphs) -> Text:
    longest, groups = _longest(row), _groups(row, look)
    beside = width >= 90
    column = (width - 3) // 2 if beside else width
    name = max(10, min(24, column - _SCORE - 20))
    room = max(4, column - name - _SCORE - 4)

    def cells(token: str, score: float, style: str) -> Text:
        text = Text(f"{fit(repr(token), name)} {score:+{_SCORE}.2f} ")
        text.append(bar(abs(score) / longest, room, glyphs), style)
        return text

    columns = [
        [Text(word, "bold"), *(cells(token, score, style) for token, score in tokens)] for word, tokens, style in groups
    ]
    if not beside:
        return Text("\n").join([*columns[0], Text(""), *columns[1]])
    lines = []
    for place in range(max(map(len, columns))):
        left, right = (each[place] if place < len(each) else Text("") for each in columns)
        lines.append(left + Text(" " * max(0, column + 3 - left.cell_len)) + right)
    return Text("\n").join(lines)


def importance_text(
    found: ev.LayersAnalysed, index: int, width: int, look: Looks, glyphs: Glyphs, behaviour: Behaviour
) -> Text:
    """The finding, and each figure of the selected layer with what it means and how sure it is."""
    row, said = found.layers[index], finding(found.layers, found.refusal, behaviour)
    text = Text()
    text.append(f"{said.title}.\n", "bold")
    text.append(listed(said.points, width, glyphs) + "\n\n")
    text.append(layer_title(index, found), f"bold {look.link}")
    apart = row.separation
    if apart and apart.auc is not None and apart.auc_low is not None and apart.auc_high is not None:
        text.append(f"   AUC {apart.auc:.3f} (95 % CI {apart.auc_low:.2f}-{apart.auc_high:.2f})")
    text.append("\n")
    if row.effects:
        text.append(f"Change of the {behaviour.log_odds}, with its standard error:\n", look.dim)
    for name, meaning in EFFECT_MEANINGS.items():
        if effect := row.effects.get(name):
            change = "not known" if effect.change is None else f"{effect.change:+.2f}"
            sign = "+-" if glyphs is ASCII else "\N{PLUS-MINUS SIGN}"
            error = f" {sign}{effect.error:.2f}" if effect.error is not None else ""
            text.append(f"  {EFFECT_WORDS[name]:10} ", f"bold {getattr(look, EFFECT_LOOKS[name])}")
            text.append(f"{change}{error}".ljust(14))
            # Where it does not fit, the help says it.
            meaning = behaviour.in_words(meaning)
            text.append(f"{meaning if width >= 26 + len(meaning) else ''}\n", look.dim)
    if found.refusal and found.refusal.tokens:
        words = ", ".join(f"{name!r} {bad:.2f} ({good:.2f})" for name, bad, good in found.refusal.tokens)
        said_first = (
            f"{behaviour.name.capitalize()} begin with, probability after {behaviour.bad} ({behaviour.good}) prompts: "
            f"{words}"
        )
        text.append(textwrap.fill(plain(said_first), max(20, width)) + "\n", look.dim)
    return text


def nearest_text(cosines: Sequence[Sequence[float]], index: int) -> str:
    """The other directions that are nearest, in a line."""
    near = ", ".join(f"{layer_name(other)} ({cosine:.3f})" for other, cosine in nearest_layers(cosines, index))
    return f"{layer_title(index)}: nearest other directions by cosine: {near}"


def shift_lines(lines: Sequence[str], width: int, look: Looks, glyphs: Glyphs) -> Text:
    """What a trial does to first tokens, from the lines of the report: broken below their beginnings, gains and losses
    in their colours."""
    text = Text()
    for line in lines:
        word = line.strip().partition(" ")[0]
        style = {"gained": look.good, "lost": look.bad, "harmless": "bold", "harmful": "bold"}.get(word, "")
        indent = len(line) - len(line.lstrip())
        below = " " * (indent + (7 if word in ("gained", "lost") else 8 if indent else 0))
        # A token stays with its figure.
        whole = re.sub(r"(?<=['\"]) (?=[-+\d])", "\N{NO-BREAK SPACE}", line)
        filled = textwrap.fill(whole, max(30, width), subsequent_indent=below)
        text.append(filled.replace("\N{NO-BREAK SPACE}", " ") + "\n", style)
    return Text(to_ascii(text.plain), spans=text.spans) if glyphs is ASCII else text


def shift_wanted(trial: int, can_ask: bool, run: str) -> str:
    """The text shown where a trial's first tokens are not known yet."""
    known = f"The first-token shift of trial {trial} has not been measured."
    if can_ask:
        return f"{known}\nPress f again to measure it (one pass over the evaluation prompts; esc cancels)."
    return f"{known}\nMeasure it from a shell: heretic-tui tokens {plain(run)} --trial {trial}"
