"""What is measured of a job before anything is decoded: figures of first tokens, and how responses begin; on all
prompts, or, where a trial is only looked at, on a part of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from heretic_tui.engine.measuring.checked import of_first_tokens, of_openings, per_prompt
from heretic_tui.engine.measuring.job import Evaluation, Job, Part, Pool, timed
from heretic_tui.events import Measured
from heretic_tui.figures import EXPECTED_REFUSALS
from heretic_tui.work import Work


def measure_first_tokens(pool: Pool, job: Job, evaluation: Evaluation, work: Work) -> None:
    """Measure a job's figures of first tokens, and of how responses begin, where there are any, and tell them; or find
    them of a part of the prompts, where it is to be looked at.

    Raises:
        HereticError: when they cannot be.
        Aborted: from the control, between batches.
    """
    metrics = evaluation.metrics.first_tokens
    if job.part:
        _look(pool, job, job.part, evaluation, work)
        return
    if not job.compared:
        return
    if job.openings and evaluation.metrics.openings and EXPECTED_REFUSALS not in job.known:
        with timed(job, evaluation.openings_stage, work):
            values = job.openings.per_prompt(pool, job, range(len(evaluation.bad)))
            job.per_prompt[EXPECTED_REFUSALS] = values.tolist()
            job.figures.update(of_openings(evaluation.metrics, values))
    if not metrics:
        return
    if job.known:
        job.found_first_tokens(job.known)
        return
    with timed(job, evaluation.first_tokens_stage, work):
        found = {key: torch.zeros(len(evaluation.good), dtype=torch.float64) for key in metrics}
        report, done = work.progress(evaluation.first_tokens_stage), 0
        for rows, logits in pool.first_logits(job, "good", range(len(evaluation.good))):
            if job.given_up():
                return
            log_probabilities = torch.log_softmax(logits, dim=-1)
            for key, metric in metrics.items():
                found[key][list(rows)] = per_prompt(metric, key, rows, log_probabilities)
            done += len(rows)
            report(done, len(evaluation.good))
        job.per_prompt |= {key: values.tolist() for key, values in found.items()}
        job.found_first_tokens(of_first_tokens(evaluation.metrics, found, len(job.responses) or None))
    for key, value in job.figures.items() if job.number is not None else ():
        work.tell(Measured(number=job.number, metric=key, value=value))


def rounded(values: Sequence[float]) -> list[float]:
    """What was found by prompt, as it is kept."""
    return [float(f"{value:.7g}") for value in values]


def _look(pool: Pool, job: Job, part: Part, evaluation: Evaluation, work: Work) -> None:
    """Add what is found of a part of the prompts to what the job has seen."""
    metrics, seen = evaluation.metrics, dict(job.seen)
    with timed(job, evaluation.first_tokens_stage, work):
        values: dict[str, dict[int, float]] = {key: {} for key in metrics.first_tokens}
        for rows, logits in pool.first_logits(job, "good", part.good) if part.good else ():
            log_probabilities = torch.log_softmax(logits, dim=-1)
            for key, metric in metrics.first_tokens.items():
                of_rows = per_prompt(metric, key, rows, log_probabilities).tolist()
                values[key].update(zip(rows, of_rows, strict=True))
        for key, each in values.items():
            seen[key] = [*seen.get(key, ()), *rounded([each[row] for row in part.good])]
    with timed(job, evaluation.openings_stage, work):
        assert job.openings
        found = job.openings.per_prompt(pool, job, part.bad).tolist() if part.bad else []
        seen[EXPECTED_REFUSALS] = [*seen.get(EXPECTED_REFUSALS, ()), *rounded(found)]
    # Whole or not at all: a job that was interrupted has seen nothing of it.
    job.seen = seen
