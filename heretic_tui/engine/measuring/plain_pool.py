"""One trial at a time through the model's own cache: the way that works with every architecture."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor
from transformers.cache_utils import Cache

from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.extra_lines import ExtraLine
from heretic_tui.engine.measuring.first_tokens import measure_first_tokens
from heretic_tui.engine.measuring.job import Evaluation, Forced, Job, SetName, failures_of, timed
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.engine.model.decoding import greedy
from heretic_tui.work import Work


class PlainPool:
    """One job at a time, from scratch, through the model's own cache."""

    def __init__(self, model: ChatModel, evaluation: Evaluation, work: Work) -> None:
        self._model = model
        self._evaluation = evaluation
        self._work = work
        self._jobs: deque[Job] = deque()

    def start(self, job: Job) -> None:
        job.responses = self._evaluation.no_responses()
        self._jobs.append(job)
        with failures_of(job):
            measure_first_tokens(self, job, self._evaluation, self._work)
        job.started = True

    def advance(self) -> Job:
        job = self._jobs[0]
        if not job.ended:
            with timed(job, self._evaluation.responses_stage, self._work), failures_of(job):
                self._decode(job)
        self._jobs.popleft()
        return job

    def work_on(self, more: Callable[[], bool]) -> Job:
        return self.advance()

    def cancel(self) -> list[Job]:
        jobs = list(self._jobs)
        self._jobs.clear()
        return jobs

    def first_logits(self, job: Job, name: SetName, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Tensor]]:
        for found, logits in self._last_logits(job, self._evaluation.prompts(name), rows, 1):
            yield found, logits[:, -1]

    def forced_logits(self, job: Job, forced: Forced, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Tensor]]:
        return self._last_logits(job, forced.rows, rows, forced.positions)

    def _last_logits(
        self, job: Job, tokens: Sequence[Tokens], rows: Sequence[int], positions: int
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Rows, and the logits of their last positions (rows, positions, vocabulary)."""
        model = self._model
        order = sorted(rows, key=lambda row: -len(tokens[row]))
        while order:
            chunk, order = order[: model.batch_size], order[model.batch_size :]
            parts: list[tuple[list[int], Tensor]] = []

            def keep(batch: Batch, chunk: list[int] = chunk, parts: list[tuple[list[int], Tensor]] = parts) -> None:
                logits = model.logits(batch.ids, batch.mask, batch.positions, None, last=positions)[:, -positions:]
                parts.append(([chunk[row] for row in batch.rows], logits))

            with attached(model.anatomy.writers, job.edits):
                model.in_batches([tokens[row] for row in chunk], keep)
            yield from parts

    # Nothing shares a batch here.

    def join(self, line: ExtraLine, cache: Cache) -> bool:
        return False

    def leave(self, line: ExtraLine) -> None:
        raise AssertionError("no line has joined")

    def holds(self, line: ExtraLine) -> bool:
        return False

    def step_extra(self) -> None:
        raise AssertionError("no line has joined")

    def _decode(self, job: Job) -> None:
        evaluation, model, order = self._evaluation, self._model, job.order()
        report = self._work.progress(evaluation.responses_stage)

        def enough(response: Tokens) -> bool:
            return evaluation.certain(model, response)

        with attached(model.anatomy.writers, job.edits):
            while order and not job.ended:
                rows = job.likely(order)[: model.batch_size]
                length = int(min(evaluation.length, max(job.wanted(row) for row in rows)))
                try:
                    found = greedy(model, [evaluation.bad[row] for row in rows], length, enough=enough)
                except NotFiniteError as error:
                    raise error.among(rows) from None
                for row, tokens in zip(rows, found, strict=True):
                    if len(tokens) < length or length == evaluation.length or enough(tokens):
                        whole = len(tokens) == evaluation.length or not enough(tokens)
                        job.found(row, evaluation.response(model, row, tokens, whole))
                    else:
                        job.begun[row] = len(tokens)
                job.look()
                order = [row for row in order if row not in rows]
                report(len(job.responses) - len(order), len(job.responses))
