"""Trials measured together: prompts of several trials share a batch, and each leaves it when its verdict is certain.

A line is one prompt of one trial: a row of the batch, and a line of a cache that is allocated once. When a line's
verdict is certain, when its trial is certain to be dominated, or when it has ended, it leaves at once, and a prompt
that waits takes its place. So the batch stays full, where one trial's last prompts alone would waste it.

Lines that are no trial's (extra_lines.py) can join while prompts are decoded.

Where layers lie on several cards there are several batches, and their steps follow each other through the cards
(in_turn.py): the step of one is begun while those of others are under way. A batch of which a step is under way stays
as it is, and what came of a step is looked at when it has ended. What is decoded, and how far, follows from verdicts as
ever.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from heretic_tui.engine.edits.attach import attached, under
from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely
from heretic_tui.engine.measuring.decoding_steps import DecodingSteps
from heretic_tui.engine.measuring.extra_lines import ExtraLine
from heretic_tui.engine.measuring.first_tokens import measure_first_tokens
from heretic_tui.engine.measuring.job import Evaluation, Forced, Job, SetName, failures_of
from heretic_tui.engine.measuring.line_batch import Line, LineBatch, Step
from heretic_tui.engine.measuring.prefill import Prefill, PrefillPass, PrefillResult, PrefixStates
from heretic_tui.engine.measuring.speculation import Speculation, StepCost
from heretic_tui.engine.memory import is_out_of_memory, release_blocks
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import LOOK_EVERY
from heretic_tui.events import Judged, Progress
from heretic_tui.work import Work

# A batch is filled up when this share of it is free: passes over a few prompts cost more than they bring.
_REFILL = 0.25
# The set of the prefill that is forced.
_FORCED = "forced"
# Tokens of a response that the check of this pool looks at (open_pool.py).
CHECKED_TOKENS = 4


class FastPool:
    """Measures jobs together; see the module's text. The model's batch size is the number of lines of a batch."""

    def __init__(self, model: ChatModel, evaluation: Evaluation, cost: StepCost, work: Work) -> None:
        self._model = model
        self._evaluation = evaluation
        self._work = work
        self.prefill = Prefill(model, {"good": evaluation.good, "bad": evaluation.bad}, frozenset({"bad"}))
        # What was forced last: its states are kept for the next job.
        self._forced: Forced | None = None
        self._jobs: list[Job] = []
        # Of jobs in hand, and of those that only first tokens are wanted of.
        self._prefixes: WeakKeyDictionary[Job, PrefixStates] = WeakKeyDictionary()
        self._waiting: dict[Job, list[int]] = {}
        # Extra lines are in the first.
        longest = max(map(len, evaluation.bad)) + max(evaluation.length, CHECKED_TOKENS)
        self._batches = [LineBatch(model, longest) for _ in range(model.in_turn.window)]
        # Those of which a step is under way, in the order in which it was begun.
        self._under_way: deque[LineBatch] = deque()
        # Whether lines can join at this moment, and how often the extra lines have changed.
        self._open = False
        self._changes = 0
        # When the latest job began to be decoded.
        self._began = time.perf_counter()
        self._speculation = Speculation(len(evaluation.bad), cost)
        self.steps = DecodingSteps(model, evaluation.length, self._speculation)
        # Whether rows of one batch can have edits of their own.
        self.together = True
        self._prompt_tokens = 0

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens that went through the model, of prompts and of responses, for benchmarks."""
        return {"prompts": self._prompt_tokens, "decoding": self.steps.tokens}

    def start(self, job: Job) -> None:
        job.responses = self._evaluation.no_responses()
        self._jobs.append(job)
        self._waiting[job] = job.order()
        with failures_of(job):
            measure_first_tokens(self, job, self._evaluation, self._work)
            if not job.part:
                self._prefix_of(job)
        job.started = True
        self._began = time.perf_counter()

    def advance(self) -> Job:
        ended = self.work_on(lambda: False)
        assert ended
        return ended

    def work_on(self, more: Callable[[], bool]) -> Job | None:
        while True:
            if ended := next((job for job in self._jobs if job.ended), None):
                self._drop(ended)
                return ended
            if more():
                return None
            failed: Exception | None = None
            try:
                self._admit()
                self._decode()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                # Its traceback refers to the tensors that fill the memory.
                failed = error.with_traceback(None)
            if failed:
                self._begin_again(failed)

    def cancel(self) -> list[Job]:
        jobs = list(self._jobs)
        self._let_steps_end()
        for batch in self._batches:
            batch.lines.clear()
        for job in jobs:
            self._drop(job)
        return jobs

    def first_logits(self, job: Job, name: SetName, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Tensor]]:
        for filled in self._passes(name, rows, job):
            yield filled.rows, filled.logits

    def forced_logits(self, job: Job, forced: Forced, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Tensor]]:
        if forced is not self._forced:
            self.prefill.take_in(_FORCED, forced.rows)
            self._forced = forced
        for filled in self._passes(_FORCED, rows, job, forced.positions):
            yield filled.rows, filled.several

    def distributions(self, job: Job, rows: Sequence[int], tokens: Sequence[Sequence[int]]) -> list[Tensor]:
        """Log-probabilities (rows, vocabulary) of the first response token and of those that follow given ones.

        Args:
            tokens: for each step, the token of each row; the last step's is not used.
        """
        prefix, batch = self._prefix_of(job), self._batches[0]
        with attached(self._model.anatomy.writers, job.edits), torch.inference_mode():
            filled = self.prefill.run("bad", rows, prefix)
            lengths = self.prefill.put("bad", filled, prefix, batch.slots, 0)
            batch.lines = [Line(job, row, length) for row, length in zip(rows, lengths, strict=True)]
            found = [filled.logits]
            for step in tokens[:-1]:
                found.append(self.steps.forward(batch, batch.lines, [[token] for token in step])[:, -1])
                for line in batch.lines:
                    line.cached += 1
        return [torch.log_softmax(logits, dim=-1) for logits in found]

    def _passes(self, name: str, rows: Sequence[int], job: Job, positions: int = 1) -> Iterator[PrefillResult]:
        """Take prompts through the model under a job's edits, in smaller batches where memory runs out. The edits are
        off whenever a result is yielded: the caller may raise there, and never come back."""
        prefix, residuals = self._prefix_of(job), job.residuals is not None
        edited = partial(attached, self._model.anatomy.writers, job.edits)

        def begin(chunk: Sequence[int], count: int) -> PrefillPass:
            self._work.checkpoint()
            return self.prefill.begin(name, chunk[:count], prefix, positions, residuals, edited)

        for filled in self.prefill.passes(name, rows, begin, self._shrink, self._work.spare):
            self._prompt_tokens += filled.tokens
            if job.residuals and filled.residuals is not None:
                job.residuals(name, filled.rows, filled.residuals)
            yield filled

    def _shrink(self, rows: int) -> int:
        for batch in self._batches:
            if not batch.lines and not batch.extra and not batch.step:
                batch.let_go()
        return self._model.shrink(min(rows, self._model.batch_size))

    def _prefix_of(self, job: Job) -> PrefixStates:
        if (known := self._prefixes.get(job)) is None:
            with attached(self._model.anatomy.writers, job.edits), torch.inference_mode():
                self._prefixes[job] = known = self.prefill.prefix_states(job.first_edited)
        return known

    # Lines

    def _admit(self) -> None:
        """Let waiting prompts in where lines are free."""
        window = self._model.in_turn.window
        while len(self._batches) > window and not (self._batches[-1].lines or self._batches[-1].step):
            self._batches.pop()
        for batch in self._batches[:window]:
            if not batch.step:
                self._admit_to(batch)

    def _admit_to(self, batch: LineBatch) -> None:
        """Let waiting prompts into a batch, the jobs in turn."""
        capacity = self._model.batch_size
        free = capacity - len(batch.lines)
        if free < _REFILL * capacity and free < sum(map(len, self._waiting.values())):
            return
        # Where edits cannot differ by row, a batch belongs to one job.
        jobs = self._jobs if self.together else self._jobs[:1]
        wanted = {job: job.to_begin(self._waiting[job]) for job in jobs}
        share = {job: sum(line.job is job for line in batch.lines) for job in jobs}
        chosen: dict[Job, list[int]] = {job: [] for job in jobs}
        count = sum(map(len, wanted.values()))
        # Batches are as large as each other: a step takes as long as that of the largest.
        even = math.ceil((count + sum(len(each.lines) for each in self._batches)) / self._model.in_turn.window)
        for _ in range(min(free, count, even - len(batch.lines))):
            job = min(
                (job for job in jobs if len(chosen[job]) < len(wanted[job])),
                key=lambda job: share[job] + len(chosen[job]),
            )
            chosen[job].append(wanted[job][len(chosen[job])])
        for job, rows in chosen.items():
            if rows:
                self._fill(batch, job, rows)

    def _fill(self, batch: LineBatch, job: Job, rows: Sequence[int]) -> None:
        """Take prompts of one job through the model, and their first tokens."""
        clock = self._work.clock
        start = clock()
        for filled in self._passes("bad", rows, job):
            with torch.inference_mode():
                first = len(batch.extra) + len(batch.lines)
                lengths = self.prefill.put("bad", filled, self._prefixes[job], batch.slots, first)
                tokens = batch.tokens_of(most_likely(filled.logits[:, None]))
            added = [Line(job, row, length) for row, length in zip(filled.rows, lengths, strict=True)]
            batch.lines += added
            self._waiting[job] = [row for row in self._waiting[job] if row not in filled.rows]
            for line, token in zip(added, tokens, strict=True):
                self._take(line, token[0])
        job.add("prompts", clock() - start)
        job.look()
        self._compact()

    def _decode(self) -> None:
        """One token after the other for all lines, until a line leaves or further prompts have to begin."""
        if len(self._batches) > 1 or self._under_way:
            self._decode_in_turn()
            return
        batch = self._batches[0]
        if not batch.lines:
            return
        before, changes, more = len(batch.lines), self._changes, False
        with batch.edited(), torch.inference_mode():
            while len(batch.lines) == before and not more:
                self._checkpoint()
                if self._changes != changes:
                    # Lines that have joined, or left: rows are others now.
                    return
                start = time.perf_counter()
                lines = list(batch.lines)
                self._hear(batch, self.steps.begin(batch))
                seconds = (time.perf_counter() - start) / len(lines)
                for line in lines:
                    line.job.add("decoding", seconds)
                # A sum, as `any` would end at the first job that wants more, and each has to look.
                more = sum(job.look() for job in self._jobs) > 0
                self._compact()

    def _decode_in_turn(self) -> None:
        """Begin a step of each batch of which none is under way, and look at the one that was begun first."""
        start = time.perf_counter()
        for number, batch in enumerate(self._batches):
            if batch.step or not batch.lines:
                continue
            # Lines join and leave the first batch: there is nothing to wait for while no step of it is under way.
            if number == 0 or not self._batches[0].lines:
                self._checkpoint()
            with batch.edited(), torch.inference_mode():
                batch.step = self.steps.begin(batch)
            self._under_way.append(batch)
        if self._under_way:
            lines = self._land(self._under_way[0])
            seconds = (time.perf_counter() - start) / len(lines)
            for line in lines:
                if line.job in self._waiting:
                    line.job.add("decoding", seconds)

    def _checkpoint(self) -> None:
        """Come to a place where lines can join."""
        self._open = self.together and not self._batches[0].step
        try:
            self._work.checkpoint()
        finally:
            self._open = False

    def _land(self, batch: LineBatch) -> Sequence[Line]:
        """Wait for the step of a batch that is under way, and look at what came of it. Returns the lines that it took
        further."""
        step = batch.step
        assert step
        # It is not under way any more whatever comes of it.
        batch.step = None
        self._under_way.remove(batch)
        with torch.inference_mode():
            self._hear(batch, step)
        for job in self._jobs:
            job.look()
        self._compact()
        return step.lines

    def _let_steps_end(self) -> None:
        """Wait for all steps that are under way, and look at none."""
        for batch in self._under_way:
            assert batch.step
            batch.step.under_way.wait()
            batch.step = None
        self._under_way.clear()

    def _hear(self, batch: LineBatch, step: Step) -> None:
        """Give every line the tokens that a step found; what extra lines wait for is handed to them."""
        step.under_way.wait()
        tokens, before = batch.tokens_of(step.chosen), len(step.extra)
        _hand_out(step.extra, step.logits)
        tried = right = 0
        for line, guess, chosen in zip(step.lines, step.guesses, tokens[before:], strict=True):
            if line.job not in self._waiting:
                # It has ended while the step was under way.
                continue
            line.cached += 1
            self._take(line, chosen[0])
            for guessed, token, following in zip(guess, chosen, chosen[1:], strict=False):
                if line.job.ended or line.job.responses[line.row] is not None:
                    break
                tried += 1
                if guessed != token:
                    break
                right += 1
                line.cached += 1
                self._take(line, following)
        self._speculation.learn(tried, right)

    def _take(self, line: Line, token: int) -> None:
        """Add a token to a response, and see whether that settles it."""
        model, evaluation, response = self._model, self._evaluation, line.response
        if token == NO_TOKEN:
            line.job.error = NotFiniteError([line.row])
            return
        if token in model.end_tokens:
            self._settle(line, whole=True)
            return
        response.append(token)
        line.job.begun[line.row] = len(response)
        if len(response) == evaluation.length:
            self._settle(line, whole=True)
        elif len(response) % LOOK_EVERY == 0 and self._is_certain(line):
            self._settle(line, whole=False)

    def _is_certain(self, line: Line) -> bool:
        # What a judge fails at costs the trial of that response, and no other.
        with failures_of(line.job):
            return self._evaluation.certain(self._model, line.response)
        return False

    def _settle(self, line: Line, whole: bool) -> None:
        self._speculation.add(line.row, line.response)
        with failures_of(line.job):
            line.job.found(line.row, self._evaluation.response(self._model, line.row, line.response, whole))
        self._tell_progress()

    def _tell_progress(self) -> None:
        judged = [job.judged for job in self._jobs]
        done, total, left = sum(judged), len(judged) * len(self._evaluation.bad), None
        stage = self._evaluation.responses_stage
        if len(judged) == 1:
            left = round((time.perf_counter() - self._began) / done * (total - done), 1) if done else None
        else:
            # Trials begin and end all the time, most before their last prompt: the time left cannot be known.
            stage = f"{stage} of {len(judged)} trials"
        trials = [
            Judged(j.number, j.refusals, n) for j, n in zip(self._jobs, judged, strict=True) if j.number is not None
        ]
        self._work.tell(Progress(stage=stage, done=done, total=total, seconds_left=left, judged=trials))

    def _compact(self) -> None:
        """Close the gaps that settled lines and ended jobs left, and lines of which no further token matters; not where
        a step is under way."""
        for batch in self._batches:
            if not batch.step:
                batch.keep([line for line in batch.lines if self._goes_on(line)])

    def _goes_on(self, line: Line) -> bool:
        job = line.job
        decided = job not in self._waiting or job.ended or job.responses[line.row] is not None
        return not decided and len(line.response) < job.wanted(line.row)

    def _drop(self, job: Job) -> None:
        self._jobs.remove(job)
        del self._waiting[job]
        self._prefixes.pop(job, None)
        self._compact()
        self._let_go()

    def _let_go(self) -> None:
        """Free the caches where nothing is in them."""
        if not self._jobs and not self._batches[0].extra:
            self._let_steps_end()
            for batch in self._batches:
                batch.let_go()

    def _begin_again(self, error: Exception) -> None:
        """Memory ran out: all lines wait again. Where there was nothing beside them fewer steps are under way from now
        on, or, where it was one, fewer lines are let in."""
        spared = self._work.spare()
        self._let_steps_end()
        largest = max(len(batch.lines) for batch in self._batches)
        lines = min(largest or self._model.batch_size, self._model.batch_size)
        fewer = not spared and self._model.fewer_at_once()
        for job in self._jobs:
            if lines == 1 and not spared and not fewer:
                job.error = error
            again = {line.row for batch in self._batches for line in batch.lines if line.job is job}
            for row in again:
                job.begun.pop(row, None)
            self._waiting[job] = [row for row in job.order() if row in again or row in self._waiting[job]]
        for batch in self._batches:
            batch.lines.clear()
        del self._batches[self._model.in_turn.window :]
        if not spared and not fewer:
            self._shrink(lines)
        release_blocks()

    # Extra lines

    def join(self, line: ExtraLine, cache: Cache) -> bool:
        if not self._open or not self.holds(line):
            return False
        self._batches[0].join(line, cache)
        self._changes += 1
        return True

    def leave(self, line: ExtraLine) -> None:
        batch = self._batches[0]
        if batch.step:
            self._land(batch)
        batch.leave(line)
        self._changes += 1
        self._let_go()

    def holds(self, line: ExtraLine) -> bool:
        return len(line.tokens) <= self._batches[0].slots.capacity

    def step_extra(self) -> None:
        batch = self._batches[0]
        if batch.step:
            # It takes them along.
            self._land(batch)
            return
        extra = list(batch.extra)
        with under(self._model.anatomy.writers, [line.edits for line in extra])(), torch.inference_mode():
            logits = self.steps.forward(batch, extra, [line.tokens[-1:] for line in extra])
            batch.tokens_of(most_likely(logits))
        _hand_out(extra, logits)


def _hand_out(extra: Sequence[ExtraLine], logits: Tensor) -> None:
    for line, given in zip(extra, logits, strict=False):
        line.logits = given[0]
