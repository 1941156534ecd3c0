"""Several answers of each of some models to a conversation, drawn at a temperature in one batch."""

from __future__ import annotations

import time

from heretic_tui.commands import Asked, Samples
from heretic_tui.control import Aborted
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.rows import Row, decode_rows, drawing, room
from heretic_tui.engine.model.decoding import Steps
from heretic_tui.engine.search.sampler import seed_of
from heretic_tui.engine.session.chat import seed_for
from heretic_tui.engine.session.judged import judged
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.errors import UsageError
from heretic_tui.events import SampleMade, SamplesEnded
from heretic_tui.parameters import Parameters
from heretic_tui.run.state import RunState
from heretic_tui.work import Work

# More rows than this would take memory that a search needs.
_MOST = 64


def make_samples(bench: Workbench, samples: Samples, state: RunState, work: Work) -> Steps[None]:
    """Draw the answers; tell each as it ends, then a SamplesEnded. An answer's tokens depend on the seed, its model and
    its number alone, as far as rounding goes.

    Raises:
        UsageError: for a trial that is not there, none or too many answers, or a conversation that is too long.
        HereticError: when logits are not finite.
    """
    start = time.perf_counter()
    asked, each = samples.asked, samples.count
    if not (asked and 0 < each * len(asked) <= _MOST):
        raise UsageError(f"{each} answers of {len(asked)} models cannot be drawn: at most {_MOST} together")
    model, judge, seed = bench.model, bench.baseline.evaluation.judge, seed_for(samples.sampling)
    prefix = "" if samples.thinking else model.response_prefix
    rows = []
    for one in asked:
        tokens = model.encode_turns(samples.system_prompt, one.turns, samples.thinking)
        edits = bench.edits_of(parameters_of(one, state))
        rows += [Row(tokens, edits, room(model, tokens, samples.sampling.max_tokens))] * each
    # By row: where memory runs out, some begin anew.
    verdicts: dict[int, bool] = {}

    def heard(row: int, response: Tokens, ended: str | None) -> bool:
        if ended:
            place, number = divmod(row, each)
            text = model.decode(response)
            verdict, _ = judged(judge, text, ended == "end", before=prefix)
            verdicts[row] = bool(verdict and verdict.refused)
            work.tell(
                SampleMade(
                    id=samples.id,
                    model=place,
                    number=number,
                    text=prefix + text,
                    tokens=len(response),
                    ended=ended,
                    verdict=verdict,
                )
            )
        return False

    seeds = [seed_of(seed, *divmod(row, each)) for row in range(len(rows))]
    reason = "end"
    try:
        yield from decode_rows(model, rows, heard, drawing(samples.sampling, seeds), bench.baseline.together)
    except Aborted:
        reason = "stopped"
    seconds = round(time.perf_counter() - start, 3)
    told = [[refused for row, refused in verdicts.items() if row // each == place] for place in range(len(asked))]
    work.tell(
        SamplesEnded(
            id=samples.id,
            reason=reason,
            seed=seed,
            refused=[sum(some) for some in told],
            made=[len(some) for some in told],
            seconds=seconds,
        )
    )


def parameters_of(asked: Asked, state: RunState) -> Parameters | None:
    """The edit under which a model is asked; None for the base model."""
    return asked.edit or parameters_of_trial(asked.trial, state)


def parameters_of_trial(trial: int | None, state: RunState) -> Parameters | None:
    """The edit of a trial; None for the base model, which is none.

    Raises:
        UsageError: where there is no such trial.
    """
    return None if trial is None else state.trial(trial).required_parameters
