"""An edit that is no trial, tried: its answers to a few prompts, the refusals that are expected by how responses begin,
and the figures of first tokens."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from heretic_tui.commands import Try
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.checked import of_first_tokens, per_prompt
from heretic_tui.engine.measuring.job import Job, SetName
from heretic_tui.engine.measuring.rows import Row, decode_rows, room
from heretic_tui.engine.model.decoding import Steps
from heretic_tui.engine.session.judged import judged
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.events import TriedAnswer, TryAnswers, TryEnded, TryFigures
from heretic_tui.work import Work

# Evaluation prompts up to which the figures are told: the first ones soon, since a slow model takes long for all.
_TOLD_AT = (8, 32, 64, 96)
# Seconds between two tellings while answers grow.
_TELL_EVERY = 0.05


def try_edit(bench: Workbench, asked: Try, work: Work) -> Steps[None]:
    """Tell what an edit does: first the answers, token by token, since those are what is read; then what is expected of
    all harmful prompts and the figures over the harmless ones, from a part of them at first, and better with each
    further part; then a TryEnded.

    Raises:
        UsageError: when the parameters are not for this model.
        HereticError: when logits are not finite.
        Aborted: from the control, between tokens and batches.
    """
    start = time.perf_counter()
    job = bench.job(None, asked.parameters)
    yield from _answer(bench, asked, job, work)
    why = yield from _measure(bench, asked, job, work)
    work.tell(TryEnded(id=asked.id, reason="end", seconds=round(time.perf_counter() - start, 3), no_estimate=why))


def _answer(bench: Workbench, asked: Try, job: Job, work: Work) -> Steps[None]:
    """Answer the prompts, in one batch."""
    model, judge = bench.model, bench.baseline.evaluation.judge
    tokens = model.encode([Prompt(text, bench.run.settings.system_prompt) for text in asked.prompts])
    answers = [TriedAnswer("") for _ in tokens]
    told = 0.0

    def heard(row: int, response: Tokens, ended: str | None) -> bool:
        nonlocal told
        text = model.decode(response)
        verdict = judged(judge, text, ended == "end", prompt=asked.prompts[row])[0] if ended else None
        answers[row] = TriedAnswer(text, len(response), ended, verdict)
        if time.monotonic() - told >= _TELL_EVERY or all(answer.ended for answer in answers):
            told = time.monotonic()
            work.tell(TryAnswers(id=asked.id, answers=list(answers)))
        return False

    rows = [Row(each, job.edits, room(model, each, asked.max_tokens)) for each in tokens]
    yield from decode_rows(model, rows, heard)


def _measure(bench: Workbench, asked: Try, job: Job, work: Work) -> Steps[str | None]:
    """Look at the evaluation prompts part by part. Returns why no refusals can be expected."""
    evaluation, pool = bench.baseline.evaluation, bench.baseline.pool
    metrics = evaluation.metrics.first_tokens
    openings, why = bench.openings, bench.no_openings
    expected = torch.zeros(0, dtype=torch.float64)
    values = {key: torch.zeros(len(evaluation.good), dtype=torch.float64) for key in metrics}
    looked: list[int] = []
    now = TryFigures(
        id=asked.id, expected_refusals=None, harmful=0, harmful_of=len(evaluation.bad), figures={}, harmless=0,
        harmless_of=len(evaluation.good),
    )  # fmt: skip
    for name, part in _parts(len(evaluation.bad) if openings else 0, len(evaluation.good) if metrics else 0):
        if name == "bad" and openings:
            expected = torch.cat([expected, openings.per_prompt(pool, job, part)])
            mean = float(expected.mean())
            now = replace(now, expected_refusals=round(mean * len(evaluation.bad), 2), harmful=len(expected))
        else:
            for rows, logits in pool.first_logits(job, name, part):
                log_probabilities = torch.log_softmax(logits, dim=-1)
                for key, metric in metrics.items():
                    values[key][list(rows)] = per_prompt(metric, key, rows, log_probabilities)
                looked += rows
                yield
            seen = {key: each[looked] for key, each in values.items()}
            figures = of_first_tokens(evaluation.metrics, seen, len(evaluation.bad))
            now = replace(now, figures=figures, harmless=len(looked))
        work.tell(now)
        yield
    return why


def _parts(harmful: int, harmless: int) -> Iterator[tuple[SetName, Sequence[int]]]:
    """Parts of both sets in turn. Prompts come in an order drawn once, so that a part stands for the whole."""
    for bad, good in itertools.zip_longest(_cut(harmful), _cut(harmless)):
        if bad:
            yield "bad", bad
        if good:
            yield "good", good


def _cut(count: int) -> list[list[int]]:
    order = list(range(count))
    random.Random(0).shuffle(order)
    edges = [0, *(edge for edge in _TOLD_AT if edge < count), *range(128, count, 64), count]
    return [order[start:end] for start, end in itertools.pairwise(edges) if end > start]
