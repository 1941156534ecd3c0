"""What the table and the scatter have of each trial: whether it is listed, and where, its line and its point. Kept from
one look to the next: only trials that changed since are looked at again."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from heretic_tui.run.annotations import Annotations
from heretic_tui.run.start import on_front_in_vain
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import FINISHED, TrialRecord
from heretic_tui.tui.filters import Key, Test, parse_filter, sort_key
from heretic_tui.tui.screens.trials_table import Seen, trial_row
from heretic_tui.tui.widgets.line_table import Column, Row
from heretic_tui.tui.widgets.pareto_scene import Point, point_of


@dataclass(frozen=True)
class Wanted:
    """What is listed, and how.

    Attributes:
        words: of a filter that means something.
        sort: one of filters.sort_keys.
    """

    words: str
    sort: str
    reverse: bool
    columns: Sequence[Column]
    seen: Seen


class Listing:
    """The trials of one run.

    Attributes:
        front: numbers of those on the front.
        in_vain: of these, those that are no better than what the run is on top of.
        rows: the line of each trial that is listed or was, by number.
        begun: numbers of those that have no end, or are being decoded.
        by_hand: numbers of those that a person chose.
    """

    def __init__(self) -> None:
        self._basis: tuple[RunState, Annotations, int, Wanted] | None = None
        self._forget()

    def _forget(self) -> None:
        self.front: set[int] = set()
        self.in_vain: frozenset[int] = frozenset()
        self._alike: frozenset[int] = frozenset()
        self.rows: dict[int, Row] = {}
        self.begun: set[int] = set()
        self.by_hand: set[int] = set()
        self._points: dict[int, Point] = {}
        self._looked = 0
        # Those that are listed, in their order; and the key of each.
        self._order: list[Key] = []
        self._keys: dict[int, Key] = {}

    @property
    def numbers(self) -> list[int]:
        """Those that are listed, in their order."""
        return [abs(number) for _, _, number in self._order]

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(self._points.values())

    def update(self, state: RunState, annotations: Annotations, wanted: Wanted, again: Iterable[int] = ()) -> None:
        """Take in what changed since the last call; everything where what is wanted, or what people say, is another.

        Args:
            again: trials of which something else is known now than what the state has.
        """
        basis = state, annotations, annotations.changes, wanted
        known = self._basis
        # A state and annotations grow: they are compared by which they are.
        if known is None or known[0] is not state or known[1] is not annotations or known[2:] != basis[2:]:
            self._forget()
            self._basis = basis
        # Those in hand have other figures each time.
        changed = {*state.changes[self._looked :], *(trial.number for trial in state.in_hand), *again}
        if not self._looked:
            changed.update(state.trials)
        self._looked = len(state.changes)
        front = {trial.number for trial in state.front()}
        changed |= (front ^ self.front) | (wanted.seen.alike ^ self._alike)
        self.front, self._alike = front, wanted.seen.alike
        if changed:
            test = parse_filter(wanted.words, state.figures, annotations)
            key = sort_key(wanted.sort, state.figures, wanted.reverse)
            self.in_vain = on_front_in_vain(state)
            for number in sorted(changed & state.trials.keys()):
                trial = state.trials[number]
                self.rows[number] = self.row(trial, wanted)
                listed = self._place(trial, test, key(trial))
                point = point_of(
                    trial, (state.figures[0], state.figures[1]), number in front, annotations.marked(number), not listed
                )
                if point:
                    alike, in_vain = number in wanted.seen.alike, number in self.in_vain
                    point = replace(point, alike=alike, in_vain=in_vain) if alike or in_vain else point
                self._keep(trial, point)

    def row(self, trial: TrialRecord, wanted: Wanted) -> Row:
        return trial_row(trial, trial.number in self.front, wanted.columns, wanted.seen)

    def _place(self, trial: TrialRecord, test: Test, key: Key) -> bool:
        """Put a trial where it belongs in the list; whether it is listed."""
        listed, before = test(trial, trial.number in self.front), self._keys.get(trial.number)
        if before is not None and (before != key or not listed):
            del self._order[bisect.bisect_left(self._order, before)]
            del self._keys[trial.number]
            before = None
        if listed and before is None:
            bisect.insort(self._order, key)
            self._keys[trial.number] = key
        return listed

    def _keep(self, trial: TrialRecord, point: Point | None) -> None:
        for numbers, holds in (
            (self.begun, trial.state not in FINISHED or trial.runs),
            (self.by_hand, trial.by_hand),
        ):
            (numbers.add if holds else numbers.discard)(trial.number)
        if point is None:
            self._points.pop(trial.number, None)
        elif self._points.get(trial.number) != point:
            self._points[trial.number] = point
