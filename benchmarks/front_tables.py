"""What `front_quality` found, as a table and as a picture: searches by the way in which they were made, over seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from benchmarks.fronts import LEAST_KL, WORST_KL, Point, log_hypervolume

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of each hundred prompts so many are still refused, where the lowest KL divergence is told.
LEVELS = (30, 10, 3)
# Those of which it is told what they gave on prompts that were held back.
HELD_LEVELS = (10, 3)
# The default: what all others are compared with.
FIRST = "mean_difference, heretic-1"
# Colours that colour-blind people tell apart, and marks that differ.
_SEARCHED, _HELD_BACK = ("#0072b2", "o"), ("#d55e00", "^")
_LEVEL_LOOKS = (("#0072b2", "o"), ("#009e73", "s"), ("#d55e00", "^"))


@dataclass(frozen=True)
class Trial:
    """A trial of a front: what was measured of it on the prompts of the search, and on those that were held back."""

    kl: float
    refusals: float
    held_kl: float
    held_refusals: float
    method: str | None = None


@dataclass(frozen=True)
class Search:
    """One search.

    Attributes:
        model: what it is called in tables.
        given: settings of it that were given, but for prompts.
        prompts: of the search, harmless and harmful ones; `held_back`: those that it did not see.
        seconds: of processors, from the beginning of the run to the end of the search. By the clock it takes what else
            the machine does beside it too.
        counts: how many trials came to which end.
    """

    model: str
    methods: tuple[str, ...]
    space: str
    given: Mapping[str, object]
    trials: int
    seed: int
    prompts: tuple[int, int]
    held_back: tuple[int, int]
    tokens: int
    seconds: float
    counts: Mapping[str, int]
    front: tuple[Trial, ...]

    @property
    def key(self) -> str:
        """By which it is known whether it was made."""
        return key_of(self.model, self.methods, self.space, self.given, self.trials, self.seed)

    @property
    def points(self) -> list[Point]:
        return [(trial.kl, trial.refusals) for trial in self.front]

    @property
    def held_points(self) -> list[Point]:
        return [(trial.held_kl, trial.held_refusals) for trial in self.front]

    def at(self, level: int) -> Trial | None:
        """The one with the lowest KL divergence of those with no more refusals than so many of a hundred."""
        few = [trial for trial in self.front if trial.refusals <= level / 100 * self.prompts[1]]
        return min(few, key=lambda trial: trial.kl, default=None)

    @property
    def fewest(self) -> float:
        """Refusals of a hundred, of the trial of the front with the fewest."""
        return 100 * min(trial.refusals for trial in self.front) / self.prompts[1]

    def to_line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


def key_of(model: str, methods: Sequence[str], space: str, given: Mapping[str, object], trials: int, seed: int) -> str:
    """By which a search is known."""
    return json.dumps([model, list(methods), space, dict(given), trials, seed], sort_keys=True)


def read_searches(path: Path) -> list[Search]:
    """Those in a file; none where there is no file."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        for name in ("methods", "prompts", "held_back"):
            record[name] = tuple(record[name])
        record["front"] = tuple(Trial(**trial) for trial in record["front"])
        found.append(Search(**record))
    return found


def by_way(searches: Iterable[Search]) -> dict[str, list[Search]]:
    """Searches of one model by the way in which they were made, in words; the first one is the default's, where it is
    there. What was given of all of them is not said."""
    searches = list(searches)
    ways: dict[str, list[Search]] = {}
    for one in searches:
        said = [
            f"{name} {value}".replace("_", " ")
            for name, value in sorted(one.given.items())
            if any(other.given.get(name) != value for other in searches)
        ]
        ways.setdefault(", ".join([" + ".join(one.methods), one.space, *said]), []).append(one)
    return dict(sorted(ways.items(), key=lambda pair: pair[0] != FIRST))


def table(searches: Sequence[Search]) -> str:
    """A table in Markdown for each model, with a line above it that says what was measured.

    Hypervolumes are of the front, with KL divergence on a logarithmic scale from LEAST_KL to WORST_KL; the reference
    point is WORST_KL with all prompts refused, and 1 is all there could be. `less the first`: the difference, seed by
    seed. `fewest refused`: of 100. `KL at 10`: the lowest with 10 of 100 refused at most; `held back`: of the same
    trials, refusals of 100 and KL divergence. Means and standard deviations over seeds; seconds are a processor's.
    """
    parts = []
    for model in dict.fromkeys(one.model for one in searches):
        ways = by_way(one for one in searches if one.model == model)
        parts.append("\n".join([*_heading(model, [one for found in ways.values() for one in found]), *_rows(ways)]))
    return "\n\n".join(parts) + "\n"


def _heading(model: str, searches: Sequence[Search]) -> list[str]:
    def said(words: Callable[[Search], str]) -> str:
        return " or ".join(dict.fromkeys(map(words, searches)))

    trials, tokens = said(lambda one: str(one.trials)), said(lambda one: str(one.tokens))
    prompts = said(lambda one: f"{one.prompts[0]} harmless and {one.prompts[1]} harmful prompts")
    held = said(lambda one: f"{one.held_back[0]} and {one.held_back[1]} that were held back")
    names = [
        "methods and space", "seeds", "hypervolume", "less the first", "held back", "fewest refused",
        *(f"KL at {level}" for level in LEVELS), *(f"held back, at {level}" for level in HELD_LEVELS), "seconds",
    ]  # fmt: skip
    return [
        f"**{model}**: {trials} trials, {prompts}, {held}, {tokens} tokens a response at most",
        "",
        _line(names),
        _line(["---"] * len(names)),
    ]


def _rows(ways: Mapping[str, Sequence[Search]]) -> list[str]:
    first = {one.seed: volume(one) for one in next(iter(ways.values()))}
    rows = []
    for way, found in ways.items():
        less = [volume(one) - first[one.seed] for one in found if one.seed in first]
        rows.append(
            _line(
                [
                    way,
                    str(len(found)),
                    spread([volume(one) for one in found]),
                    "" if found[0] is next(iter(ways.values()))[0] or not less else spread(less, sign=True),
                    spread([held_volume(one) for one in found]),
                    f"{statistics.fmean(one.fewest for one in found):.1f}",
                    *(_kl_at(found, level) for level in LEVELS),
                    *(_held_at(found, level) for level in HELD_LEVELS),
                    f"{statistics.fmean(one.seconds for one in found):.0f}",
                ]
            )
        )
    return rows


def volume(one: Search) -> float:
    """Of the front, KL divergence on a logarithmic scale."""
    return log_hypervolume(one.points, one.prompts[1])


def held_volume(one: Search) -> float:
    """The same of what the front's trials gave on prompts that were held back."""
    return log_hypervolume(one.held_points, one.held_back[1])


def spread(values: Sequence[float], sign: bool = False) -> str:
    """The mean, and the standard deviation over seeds where there are several."""
    mean = f"{statistics.fmean(values):{'+' if sign else ''}.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def _kl_at(found: Sequence[Search], level: int) -> str:
    reached = [trial.kl for one in found if (trial := one.at(level))]
    return _of_those(spread(reached), reached, found) if reached else "none"


def _held_at(found: Sequence[Search], level: int) -> str:
    """Refusals of a hundred, and KL divergence."""
    reached = [(trial, one.held_back[1]) for one in found if (trial := one.at(level))]
    if not reached:
        return "none"
    refused = statistics.fmean(100 * trial.held_refusals / prompts for trial, prompts in reached)
    kl = statistics.fmean(trial.held_kl for trial, _ in reached)
    return _of_those(f"{refused:.1f} at {kl:.4f}", reached, found)


def _of_those(text: str, reached: Sequence[object], found: Sequence[Search]) -> str:
    return text if len(reached) == len(found) else f"{text} ({len(reached)} of {len(found)})"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def picture(searches: Sequence[Search], path: Path) -> None:
    """Every search as a mark: the hypervolume of its front, and the lowest KL divergence at so many refusals.

    Args:
        path: its ending says what kind of picture.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    models = list(dict.fromkeys(one.model for one in searches))
    groups = [by_way(one for one in searches if one.model == model) for model in models]
    figure, panels = pyplot.subplots(
        len(models), 2, squeeze=False, figsize=(12, 0.5 + sum(0.9 + 0.36 * len(ways) for ways in groups)),
        gridspec_kw={"height_ratios": [0.6 + 0.36 * len(ways) for ways in groups]}, layout="constrained",
    )  # fmt: skip
    for model, ways, (left, right) in zip(models, groups, panels, strict=True):
        _volumes(left, ways)
        _divergences(right, ways)
        left.set_xlabel(f"{model}: hypervolume, logarithmic, KL {LEAST_KL:g} to {WORST_KL:g}", fontsize=9)
        right.set_xlabel(f"{model}: lowest KL divergence", fontsize=9)
        _name_rows(left, list(ways))
        _name_rows(right, [""] * len(ways))
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _volumes(axes: Axes, ways: Mapping[str, Sequence[Search]]) -> None:
    kinds: tuple[tuple[str, tuple[str, str], Callable[[Search], float]], ...] = (
        ("prompts of the search", _SEARCHED, volume),
        ("prompts held back", _HELD_BACK, held_volume),
    )
    for label, look, value in kinds:
        _marks(axes, label, look, [[value(one) for one in found] for found in ways.values()])


def _divergences(axes: Axes, ways: Mapping[str, Sequence[Search]]) -> None:
    for level, look in zip(LEVELS, _LEVEL_LOOKS, strict=True):
        values = [[max(trial.kl, LEAST_KL) for one in found if (trial := one.at(level))] for found in ways.values()]
        _marks(axes, f"at most {level} of 100", look, values)
    axes.set_xscale("log")
    # Where none got so far there is nothing that could say what the axis is.
    axes.set_xlim(LEAST_KL, WORST_KL)


def _marks(axes: Axes, label: str, look: tuple[str, str], values: Sequence[Sequence[float]]) -> None:
    """A mark for each value, a row for each way; a bar at the mean."""
    colour, mark = look
    places = [(each, row) for row, found in enumerate(values) for each in found]
    across, down = [across for across, _ in places], [down for _, down in places]
    axes.scatter(across, down, c=colour, marker=mark, alpha=0.6, label=label)
    for row, found in enumerate(values):
        if found:
            axes.plot([statistics.fmean(found)] * 2, [row - 0.3, row + 0.3], color=colour)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [fill(name, 48) for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="both", alpha=0.3)
    # Above, where no mark is.
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(LEVELS), frameon=False)
