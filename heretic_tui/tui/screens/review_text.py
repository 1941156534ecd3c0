"""What the Review screen says in words: of the figure under the cursor, of a review that is under way, and what reviews
are."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from heretic_tui.run.review_records import Difference, Finding, ReviewFigure, Subject
from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.reviewing import Course
from heretic_tui.tui.screens.review_table import Drawn, Line, shown
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.braille import braille_curve
from heretic_tui.tui.widgets.charts import gauge
from heretic_tui.words import counted, duration, plain

WHAT_IT_IS = """
A review asks of a few trials, and of the original model, whether the figures of the search hold: on prompts that
neither directions nor search have seen, and by whatever else is chosen under Review in Setup. Each figure has the
interval in which it lies with a probability of 95 %, and with whether it differs from the original model's by more than
chance.
"""
# Lines and cells of a curve.
_CURVE, _LONGEST_CURVE = 4, 72
_BAR = 12


def nothing_yet(can_ask: bool) -> Text:
    """In place of the panel while nothing has been reviewed."""
    way = "R starts one." if can_ask else "R starts one where an engine is at work on the run."
    return Text(f"{' '.join(WHAT_IT_IS.split())} {way}")


def course_text(course: Course, seconds: float | None, look: Looks, glyphs: Glyphs, cancels: bool) -> Text:
    """A review that is under way, a line for each check."""
    text = Text()
    for step in course.steps:
        begun, name = step is course.step, plain(step.title)
        if step.problem:
            text.append(f"{glyphs.failed} {name}  {shown(step.problem, glyphs)}\n", look.bad)
            continue
        sign, style = (
            (glyphs.done, look.good) if not step.left else (glyphs.running, look.busy) if begun else (" ", look.dim)
        )
        full, empty = gauge(step.done / max(1, step.total), _BAR, glyphs)
        known = "time not known" if step.seconds is None else f"about {duration(step.seconds)} in all"
        about = "" if seconds is None else f"  {known}"
        text.append(f"{sign} {full}{empty} {step.done}/{step.total}  {name}{about if step.left else ''}\n", style)
    besides = f", and {', '.join(plain(name) for name in course.not_known)}" if course.not_known else ""
    left = "" if seconds is None else f"About {duration(seconds)} left{besides}. "
    text.append(f"{left}{'R cancels; what was found is kept.' if cancels else ''}\n", look.dim)
    return text


def figure_title(line: Line, subject: Subject, drawn: Drawn) -> str:
    figure, whose = drawn.review.figure(*line, subject), drawn.review.called(subject)
    return f"{shown(figure.name, drawn.glyphs)}, {whose}" if figure else whose[:1].upper() + whose[1:]


def panel_text(line: Line, subject: Subject, drawn: Drawn, look: Looks, width: int) -> Text:
    """All that is known of a figure of a subject: in words, beside what it is compared with, what the check says of it,
    and the curves of the finding."""
    review, glyphs, (check, key) = drawn.review, drawn.glyphs, line
    text = Text()
    own, reference = review.figure(check, key, subject), review.figure(check, key, drawn.reference)
    if own is not None:
        text.append(f"{review.name(subject):<12}", look.base if subject is None else look.link)
        text.append(f"{_in_full(own, glyphs)}\n")
    if reference is not None and subject != drawn.reference:
        text.append(f"{drawn.review.name(drawn.reference):<12}", look.base if drawn.reference is None else look.dim)
        text.append(f"{_in_full(reference, glyphs)}\n")
        difference = review.difference(check, key, drawn.reference, subject)
        if own is not None:
            text.append(f"{'difference':<12}", look.dim)
            if difference is None and _found_otherwise(drawn, check, subject):
                text.append("found with other prompts or settings, and not compared; review it again\n", look.busy)
            else:
                text.append_text(_difference(difference, own, drawn, look))
    if own is not None and own.better:
        text.append(f"{'better':<12}{'lower' if own.better == 'low' else 'higher'}\n", look.dim)
    finding = review.findings.get(check, {}).get(subject)
    if finding:
        _append_finding(text, finding, drawn, look, width)
    elif own is None:
        how = "" if review.models else " R reviews it."
        text.append(f"This check has not looked at it.{how}\n", look.dim)
    text.rstrip()
    return text


def _found_otherwise(drawn: Drawn, check: str, subject: Subject) -> bool:
    """Whether the findings of a subject and of the reference rest on different prompts or settings."""
    found = [drawn.review.findings.get(check, {}).get(each) for each in (subject, drawn.reference)]
    return len({each.basis for each in found if each}) > 1


def _in_full(figure: ReviewFigure, glyphs: Glyphs) -> str:
    if figure.value is None:
        return "nothing could be said"
    words = shown(figure.text, glyphs)
    if figure.form != "count" and figure.of:
        words += f" (of {figure.of:,})"
    if figure.interval:
        words += f", by chance from {shown(figure.interval, glyphs).replace(glyphs.until, ' to ', 1)} (95 %)"
    if figure.overruled:
        words += f" {glyphs.overruled} {counted(figure.overruled, 'verdict')} overruled by you"
    return words


def _difference(found: Difference | None, figure: ReviewFigure, drawn: Drawn, look: Looks) -> Text:
    if found is None:
        return Text("whether it is more than chance is not known\n", look.dim)
    change = found.difference
    amount = _amount(abs(change), figure)
    side = (
        "none"
        if change == 0
        else f"{amount} {'more' if change > 0 else 'fewer'}"
        if figure.form == "count"
        else (f"{amount} {'higher' if change > 0 else 'lower'}")
    )
    how = ""
    if found.p is not None:
        how = f"; p {'< 0.0001' if found.p < 1e-4 else f'= {found.p:.4f}'} (McNemar, exact, over the same prompts)"
    elif found.low is not None and found.high is not None:
        low, high = (("-" if bound < 0 else "+") + _amount(abs(bound), figure) for bound in (found.low, found.high))
        how = f"; by chance from {low} to {high} (95 %)"
    than = f"of {drawn.review.called(drawn.reference)}"
    words = f"within chance {than}" if found.within_chance else "more than chance"
    text = Text(f"{side}{how}: ").append(words, look.busy if found.within_chance else f"bold {look.ink}")
    return text.append("\n")


def _amount(value: float, figure: ReviewFigure) -> str:
    if figure.form == "count":
        return f"{value:.0f}"
    return f"{100 * value:.1f} points" if figure.form == "share" else f"{value:.{figure.digits}f}"


def _append_finding(text: Text, finding: Finding, drawn: Drawn, look: Looks, width: int) -> None:
    glyphs = drawn.glyphs
    if finding.problem:
        text.append(f"{glyphs.failed} {shown(finding.problem, glyphs)}\n", look.bad)
    for note in finding.notes:
        text.append(f"{glyphs.dot} {shown(note, glyphs)}\n")
    other = drawn.review.findings[finding.check].get(drawn.reference) if drawn.reference != finding.subject else None
    for name, values in finding.curves.items():
        called = name.replace("_", " ").removesuffix(" by position").replace("kl", "KL")
        text.append(f"\n{shown(called, glyphs)}, by position\n", look.dim)
        beside = other.curves.get(name, []) if other else []
        known = [value for value in [*values, *beside] if value is not None]
        if not known:
            continue
        low, high = min(0.0, *known), max(known)
        text.append_text(_curve(values, width, low, high, glyphs, look.base if finding.subject is None else look.link))
        if len(set(beside)) > 1:
            text.append(f"{drawn.review.name(drawn.reference)}\n", look.dim)
            text.append_text(
                _curve(beside, width, low, high, glyphs, look.base if drawn.reference is None else look.dim)
            )


def _curve(values: Sequence[float], width: int, low: float, high: float, glyphs: Glyphs, style: str) -> Text:
    """A curve with its lowest and highest value at the left, and the positions below."""
    labels = [f"{high:.3g}", *[""] * (_CURVE - 2), f"{low:.3g}"]
    margin = max(map(len, labels)) + 1
    cells = max(4, min(_LONGEST_CURVE, width - margin - 2, 4 * len(values)))
    text = Text(no_wrap=True)
    for label, line in zip(labels, braille_curve(values, cells, _CURVE, glyphs, low=low, high=high), strict=True):
        text.append(f"{label:>{margin - 1}}{glyphs.down}").append(f"{line}\n", style)
    last = str(len(values))
    return text.append(f"{'':{margin}}1{last:>{max(1, cells - 1)}}\n")


def legend(drawn: Drawn) -> str:
    """What the signs of the table mean, as lines that fit."""
    g = drawn.glyphs
    parts = [
        f"{g.selected} compared with",
        f"{g.about} within chance of {drawn.review.name(drawn.reference)}",
        f"{g.rising}{g.falling} higher, lower by more",
    ]
    if any(finding.overruled for each in drawn.review.findings.values() for finding in each.values()):
        parts.append(f"{g.overruled} with your verdicts")
    lines = [""]
    for part in [*parts, "in brackets: 95 % interval"]:
        if lines[-1] and len(lines[-1]) + 3 + len(part) > drawn.width:
            lines.append("")
        lines[-1] += f"{'   ' if lines[-1] else ''}{part}"
    return "\n".join(lines)
