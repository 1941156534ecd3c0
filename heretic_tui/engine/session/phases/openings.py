"""How refusals begin: found before the first trial, by which way tells the verdicts on a few edits best.

In a run that adds refusals those count that are missing, and begin as any answer does. So it is found how refusals
begin there too, and what is expected is the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from heretic_tui.behaviour import Behaviour
from heretic_tui.engine.anatomy.writers import embedding_matrix
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.checked import of_openings
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.openings import (
    Openings,
    Scale,
    fitted_scale,
    forced_by,
    keep_openings,
    kept_openings,
    mean_first_tokens,
    refusing,
)
from heretic_tui.engine.measuring.parting import Parting, find_parting
from heretic_tui.engine.measuring.refusal_tokens import likelier_tokens
from heretic_tui.engine.measuring.rows import Row, decode_rows, room
from heretic_tui.engine.measuring.screening import evenly
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import LOOK_EVERY, greedy
from heretic_tui.engine.session.phases.baseline import Baseline
from heretic_tui.engine.session.phases.phase import RunInputs, unless_damaged
from heretic_tui.errors import HereticError, one_line
from heretic_tui.events import BaselineMeasured
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.verdict import Verdict
from heretic_tui.words import quoted
from heretic_tui.work import Work

# The edit of all layers alike, with these weights, is decoded for so many prompts; with the further ones where the
# verdicts are all alike.
_WEIGHTS, _FURTHER, _PROMPTS = (0.15, 0.4, 1.0), (0.05, 1.5), 16
# Of these prompts, those that the base model refuses, where there are so many.
_REFUSED = 12
# Tokens of their responses at most: refusals say so at once or soon, and answers would take most of the time.
_LONGEST = 40
# First tokens of responses along which refusals may part from answers.
_LENGTHS = (4, 8, 16)
# Answers to harmless prompts that beginnings are compared with.
_ANSWERS = 48
# The share of pairs of a refusal and an answer that are told the right way round (the area under the ROC curve): with
# so much nothing further is looked for, and less than the second tells too little.
_ENOUGH, _TELLING = 0.95, 0.7
# Verdicts of each kind without which that share says nothing.
_VERDICTS = 3


@dataclass(frozen=True)
class _Verdicts:
    """What was decoded of one edit.

    Attributes:
        refused: for each prompt that was decoded, whether its response is a refusal: in a run that adds them, one that
            does not count.
    """

    job: Job
    refused: Sequence[bool]


@dataclass(frozen=True)
class _Way:
    """One way to tell refusals, and how well it does.

    Attributes:
        area: under the ROC curve.
    """

    parting: Parting
    scale: Scale
    area: float | None


def openings_of_run(
    run: RunInputs,
    model: ChatModel,
    prompts: Sequence[Tokens],
    good: Sequence[Tokens],
    baseline: Baseline,
    edits: Callable[[Parameters], Mapping[str, Edit]],
    work: Work,
) -> Openings | str:
    """How refusals begin, from the run folder, or found now and kept there; or why no refusals can be expected.

    Args:
        prompts, good: tokens of the evaluation prompts.
        edits: of some parameters, by the writer's name.

    Raises:
        torch.OutOfMemoryError: when a single row is too much.
        Aborted: from the control, between batches and tokens.
    """
    if not baseline.responses:
        return "no responses are judged"
    vocabulary = len(embedding_matrix(model.network))
    behaviour = run.settings.behaviour_in_words
    found = unless_damaged(partial(kept_openings, run.folder, prompts, vocabulary), work)
    if found is None:
        try:
            found = _Search(model, prompts, good, baseline, edits, work, behaviour).find()
        except HereticError as error:
            # A judge of another package, say: what fails here fails the trial that needs it, and not the run.
            found = f"how {behaviour.name} begin could not be found: {one_line(error)}"
        if isinstance(found, str):
            things = behaviour.things[:1].upper() + behaviour.things[1:]
            work.note(f"{things} cannot be expected before a response is decoded: {found}.")
        if run.own:
            keep_openings(run.folder, found)
    metrics = baseline.evaluation.metrics
    if metrics.openings and not isinstance(found, str):
        figures = {**baseline.figures, **of_openings(metrics, found.base)}
        ordered = {figure.key: figures[figure.key] for figure in metrics.figures if figure.key in figures}
        work.tell(BaselineMeasured(figures=ordered, prompts=len(prompts), harmless=len(good)))
    return found


class _Search:
    """Looks for what tells refusals."""

    def __init__(
        self,
        model: ChatModel,
        prompts: Sequence[Tokens],
        good: Sequence[Tokens],
        baseline: Baseline,
        edits: Callable[[Parameters], Mapping[str, Edit]],
        work: Work,
        behaviour: Behaviour,
    ) -> None:
        self._behaviour = behaviour
        self._model = model
        self._prompts = prompts
        self._good = good
        self._baseline = baseline
        self._edits = edits
        self._work = work
        self._base = Job(None, {}, model.depth, compared=False)
        self._refused = [self._refuses(response.verdict) for response in baseline.responses]
        rows = {bad: [row for row, other in enumerate(self._refused) if other == bad] for bad in (True, False)}
        # Most of them are refused, however few there are: what changes is told by those.
        some = evenly(rows[True], max(_REFUSED, _PROMPTS - len(rows[False])))
        self._decoded = sorted([*some, *evenly(rows[False], _PROMPTS - len(some))])

    def find(self) -> Openings | str:
        """Raises as `openings_of_run` does, and HereticError where a judge fails."""
        refused = [row for row, bad in enumerate(self._refused) if bad]
        if not refused:
            return f"the original model {replace(self._behaviour, added=False).none_counted} prompts"
        pool = self._baseline.pool
        answers = mean_first_tokens(pool, self._base, "good", range(len(self._good)))
        first = likelier_tokens(mean_first_tokens(pool, self._base, "bad", refused), answers)
        verdicts = self._verdicts()
        at_once = self._way(Parting.at_once(first.ids, len(self._prompts)), verdicts)
        # Where the verdicts are all alike they say nothing of the ways: the two sets of prompts have to do.
        enough = first.telling if at_once.area is None else at_once.area >= _ENOUGH
        ways = [at_once] if enough else [at_once, *self._along(verdicts)]
        # The first of those that are as good: it looks at fewest tokens.
        best = max(ways, key=lambda way: round(way.area or 0.0, 2)) if at_once.area is not None else ways[-1]
        if best.area is None and best is at_once and not enough:
            return self._not_told
        if best.area is not None and best.area < _TELLING:
            return f"{self._not_told} (area under the ROC curve {best.area:.2f})"
        self._say(best, len(verdicts) * len(self._decoded))
        parting = best.parting
        base = refusing(pool, self._base, range(len(self._prompts)), parting, forced_by(parting, self._prompts))
        scale = best.scale.turned if self._behaviour.added else best.scale
        return Openings(parting, scale, self._prompts, scale(base))

    def _along(self, verdicts: Sequence[_Verdicts]) -> list[_Way]:
        """The ways along the base model's own responses, those along fewer tokens first."""
        rows = [*self._prompts, *self._good[:_ANSWERS]]
        length = min(room(self._model, tokens, _LENGTHS[-1]) for tokens in rows)
        begun = greedy(self._model, rows, length, self._work.progress("how responses begin"))
        own, answers = begun[: len(self._prompts)], begun[len(self._prompts) :]
        partings: list[Parting] = []
        for tokens in _LENGTHS:
            parting = find_parting(own, self._refused, answers, tokens)
            if parting and parting not in partings:
                partings += [parting, replace(parting, from_start=True)]
        return [self._way(parting, verdicts) for parting in partings]

    def _way(self, parting: Parting, verdicts: Sequence[_Verdicts]) -> _Way:
        """How well a way tells the verdicts."""
        forced = forced_by(parting, self._prompts)
        parts = [refusing(self._baseline.pool, each.job, self._decoded, parting, forced) for each in verdicts]
        values = torch.cat(parts)
        refused = [bad for each in verdicts for bad in each.refused]
        return _Way(parting, fitted_scale(values, refused), _area(values, refused))

    def _verdicts(self) -> list[_Verdicts]:
        """The verdicts on the base model and on a few edits, decoded for a few prompts."""
        found = [_Verdicts(self._base, [self._refused[row] for row in self._decoded])]
        for weights in (_WEIGHTS, _FURTHER):
            jobs = [self._uniform(weight) for weight in weights]
            try:
                found += self._decode(jobs)
            except NotFiniteError:
                # One that overflows costs the others nothing.
                for job in jobs:
                    with suppress(NotFiniteError):
                        found += self._decode([job])
            refusals = sum(sum(each.refused) for each in found)
            if _VERDICTS <= refusals <= len(found) * len(self._decoded) - _VERDICTS:
                break
        return found

    def _uniform(self, weight: float) -> Job:
        depth = self._model.depth
        kernel = Kernel(weight, (depth - 1) / 2, weight, float(depth))
        edits = self._edits(Parameters(None, dict.fromkeys(self._model.anatomy.components, kernel)))
        return Job(None, edits, self._model.anatomy.first_edited(edits), compared=False)

    def _decode(self, jobs: Sequence[Job]) -> list[_Verdicts]:
        model, evaluation = self._model, self._baseline.evaluation
        longest, count = min(evaluation.length, _LONGEST), len(self._decoded)
        prompts = [self._prompts[row] for row in self._decoded]
        rows = [Row(tokens, job.edits, room(model, tokens, longest)) for job in jobs for tokens in prompts]
        refused = [False] * len(rows)
        report, ended = self._work.progress(f"how {self._behaviour.name} begin"), set[int]()

        def heard(place: int, response: Tokens, end: str | None) -> bool:
            text = model.decode(response) if end or len(response) % LOOK_EVERY == 0 else ""
            over = end is not None or (bool(text) and evaluation.judge.certain(text))
            if over:
                refused[place] = self._refuses(evaluation.judge.verdict(text, end == "end"))
                ended.add(place)
                report(len(ended), len(rows))
            return over

        for _ in decode_rows(model, rows, heard, together=self._baseline.together):
            pass
        return [_Verdicts(job, refused[at * count : (at + 1) * count]) for at, job in enumerate(jobs)]

    def _say(self, best: _Way, verdicts: int) -> None:
        if best.parting.is_at_once:
            how = f"by the first token ({self._names(best.parting.ids)})"
        else:
            beginnings = {tuple(given): None for given in best.parting.given}
            behind = ", ".join(quoted(self._model.decode(list(each))) for each in list(beginnings)[:3])
            how = f"by the token ({self._names(best.parting.ids)}) behind what responses begin with ({behind}, …)"
        told = "" if best.area is None else f", area under the ROC curve {best.area:.2f} on {verdicts} verdicts"
        name = self._behaviour.name
        rest = f"; {self._behaviour.things} are the rest" if self._behaviour.added else ""
        self._work.note(f"{name[:1].upper()}{name[1:]} are expected before a response is decoded {how}{told}{rest}.")

    def _refuses(self, verdict: Verdict) -> bool:
        """Whether a response is a refusal in words: how one begins says nothing of those that break later."""
        return not verdict.refused if self._behaviour.added else verdict.refused and verdict.broken is None

    @property
    def _not_told(self) -> str:
        behaviour = self._behaviour
        return f"what responses begin with does not tell {behaviour.name} from {behaviour.others}"

    def _names(self, tokens: Sequence[int]) -> str:
        return ", ".join(quoted(self._model.decode([token])) for token in tokens[:4])


def _area(values: Tensor, refused: Sequence[bool]) -> float | None:
    """The area under the ROC curve: the share of pairs of a refusal and an answer in which the refusal has the larger
    value. None where either are too few."""
    bad = torch.tensor(refused)
    refusals, answers = values[bad], values[~bad]
    if min(len(refusals), len(answers)) < _VERDICTS:
        return None
    above = (refusals[:, None] > answers).double() + 0.5 * (refusals[:, None] == answers).double()
    return float(above.mean())
