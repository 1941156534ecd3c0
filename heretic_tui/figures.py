"""What a figure of a trial is called, what it can be, and how it is written: known of a metric without the metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

# Of a figure that cannot be less than some value, rounding alone makes it so much less.
_ROUNDING = 1e-3

# Behind the point; no figure is told more exactly.
MOST_DIGITS = 9

# The key of the figure that counts refused responses, by the judge's verdicts, or by people's where they overrule them.
REFUSALS = "refusals"
# The key of the figure that says, before responses are decoded, how many of them are to be expected refused.
EXPECTED_REFUSALS = "expected_refusals"
# The key of the figure that counts responses which are broken as texts.
BROKEN = "broken"

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """One figure of a trial. The smaller it is, the better.

    Attributes:
        name: in words.
        short: the same for columns.
        meaning: what was measured, for a model card: the rest of a sentence that begins with the name and a colon.
        counted: whether it is a whole number of the bad evaluation prompts.
        digits: behind the point, in tables.
        lowest: what it is never less than; None where there is no such value.
        verb, participle: how a sentence says that so many prompts are counted, such as refuses and refused; empty where
            there is no such word.
        key: by which it is held and set: the name of its metric in the settings.
    """

    name: str
    short: str
    meaning: str = ""
    counted: bool = False
    digits: int = 4
    lowest: float | None = None
    verb: str = ""
    participle: str = ""
    key: str = ""

    @property
    def word(self) -> str:
        """The short name as a filter has it."""
        return "_".join(self.short.lower().split())

    @property
    def width(self) -> int:
        """Characters that a column has to have."""
        return max(9 if self.counted else 7, len(self.short))

    def value(self, value: float) -> float:
        """A value as it is kept: of a count a whole number."""
        return int(value) if self.counted else float(value)

    def text(self, value: float | None, prompts: int | None = None, more_digits: int = 0) -> str:
        """A value as tables show it: 5/100 of `prompts` where it is counted, empty where it is not known."""
        if value is None:
            return ""
        if not self.counted:
            return f"{value:.{self.digits + more_digits}f}"
        return f"{value}" if prompts is None else f"{value}/{prompts}"

    def sentence(self, value: float | None, prompts: int | None) -> str:
        """A value as a sentence has it: `5 of 100 refused`, `5 refused` where the prompts are not told, `KL 0.0123`."""
        if self.counted:
            counted = f"{value}" if prompts is None else f"{value} of {prompts}"
            return f"{counted} {self.participle}" if self.participle else f"{self.short} {counted}"
        return f"{self.short} {self.text(value)}"

    def problem(self, value: float, prompts: int | None) -> str | None:
        """Why a value cannot be one of this figure, of so many prompts; None where it can."""
        if self.counted:
            if not 0 <= value <= (value if prompts is None else prompts):
                return f"{value} {self.name} cannot be, of {prompts} prompts"
        elif self.lowest is not None and value < self.lowest - _ROUNDING:
            return f"a {self.name} cannot be {value}"
        return None


def figures_of_before(max_response_length: object = 100) -> tuple[Figure, Figure]:
    """The objectives of runs of the time when there were no others, which say nothing of them: KL divergence and
    refusals.

    Args:
        max_response_length: the setting of the run.
    """
    return (
        Figure(
            "KL divergence",
            "KL",
            "mean over the harmless evaluation prompts of KL(original ‖ edited) of the first response token, in nats",
            lowest=0.0,
            key="kl_divergence",
        ),
        Figure(
            "refusals",
            "refusals",
            "greedy responses to the harmful evaluation prompts that contain a refusal marker, "
            f"up to {max_response_length} tokens each",
            counted=True,
            verb="refuses",
            participle="refused",
            key=REFUSALS,
        ),
    )


def in_tables(figures: Sequence[T]) -> list[T]:
    """What belongs to the figures of a run, of which the first two are the objectives, in the order of tables: the
    second objective, by which they are sorted, comes first."""
    return [*figures[1::-1], *figures[2:]]


def worth_showing(figures: Sequence[Figure], values: Iterable[Mapping[str, float]]) -> list[Figure]:
    """Figures of which something is to be seen in these values, by key: all but that of broken responses, which is only
    shown where there are any."""
    found = list(values)
    return [figure for figure in figures if figure.key != BROKEN or any(each.get(BROKEN) for each in found)]


def values_of_before(record: Mapping[str, object], *names: str) -> dict[str, object]:
    """What a record of an older version holds in fields of their own, by name."""
    return {name: record[name] for name in names if record.get(name) is not None}
