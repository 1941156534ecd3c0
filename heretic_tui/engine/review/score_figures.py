"""What was reached in a benchmark as figures of a review: with the harness's own standard errors, and item by item, so
that two models can be compared."""

from __future__ import annotations

import math

from heretic_tui.engine.review.scores import Figure, Score
from heretic_tui.run.review_records import ReviewFigure

# So many parts of a group have figures of their own; of more the notes tell.
_PARTS = 8
# Standard errors from a figure to the bounds of its 95 % interval.
_BOUND = 1.96


def figures_of(score: Score) -> list[ReviewFigure]:
    """The figure of a task and those of its parts, where these are few, or it has none of its own. Without those that
    are no numbers."""
    own = _figure(score.task, score.task, score)
    parts = score.parts if own is None or len(score.parts) <= _PARTS else ()
    return [
        figure for figure in (own, *(_figure(f"{score.task}.{part.task}", part.task, part) for part in parts)) if figure
    ]


def _figure(key: str, name: str, score: Score) -> ReviewFigure | None:
    """The main figure of a task; None where there is none, or it is no number."""
    main = score.main
    if main is None or not math.isfinite(main.value):
        return None
    values = None if main.by_item is None or not all(map(math.isfinite, main.by_item)) else main.by_item.tolist()
    error = main.error if main.error is not None and math.isfinite(main.error) else None
    low, high = (None, None) if error is None else (main.value - _BOUND * error, main.value + _BOUND * error)
    share = _is_share(score, main)
    if share and low is not None and high is not None:
        low, high = max(0.0, low), min(1.0, high)
    return ReviewFigure(
        key=key,
        name=f"{name} {main.metric}",
        short=name,
        value=main.value,
        form="share" if share else "number",
        of=score.items,
        low=low,
        high=high,
        better=None if main.higher_is_better is None else "high" if main.higher_is_better else "low",
        values=values,
    )


def _is_share(score: Score, figure: Figure) -> bool:
    """Whether a figure is a mean of values that lie between 0 and 1, or one of such figures."""
    if figure.by_item is not None:
        return bool(((figure.by_item >= 0) & (figure.by_item <= 1)).all())
    parts = [part.main for part in score.parts]
    return bool(parts) and all(part and part.by_item is not None and _is_share(score, part) for part in parts)


def notes_of(score: Score) -> list[str]:
    """The figures of parts that are too many to have their own."""
    if len(score.parts) <= _PARTS:
        return []
    parts = [(part, _figure(part.task, part.task, part)) for part in score.parts]
    return [f"{score.task} by part: {', '.join(f'{part.task} {figure.text}' for part, figure in parts if figure)}"]
