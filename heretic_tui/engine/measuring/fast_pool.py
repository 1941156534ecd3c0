"""Trials measured together: prompts of several trials share a batch, and each leaves it when its verdict is certain.

A line is one prompt of one trial: a row of the batch, and a line of a cache that is allocated once. When a line's
verdict is certain, when its trial is certain to be dominated, or when it has ended, it leaves at once, and a prompt
that waits takes its place. So the batch stays full, where one trial's last prompts alone would waste it.

Lines that are no trial's (extra_lines.py) can join while prompts are decoded. They are the first lines of the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from heretic_tui.engine.edits.attach import Attached, attached, under
from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.extra_lines import ExtraLine
from heretic_tui.engine.measuring.first_tokens import measure_first_tokens
from heretic_tui.engine.measuring.job import Evaluation, Forced, Job, SetName, failures_of
from heretic_tui.engine.measuring.prefill import Prefill, PrefillResult, PrefixStates
from heretic_tui.engine.measuring.ragged_cache import RaggedCache, keys_and_values
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


@dataclass(eq=False)
class _Line:
    """One prompt of one job that is being decoded.

    Attributes:
        cached: tokens whose keys and values are in the cache.
        response: tokens so far; the last is not in the cache yet.
    """

    job: Job
    row: int
    cached: int
    response: Tokens = field(default_factory=list)


class FastPool:
    """Measures jobs together; see the module's text. The model's batch size is the number of lines."""

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
        self._lines: list[_Line] = []
        self._extra: list[ExtraLine] = []
        # Whether lines can join at this moment, and how often the extra lines have changed.
        self._open = False
        self._changes = 0
        self._cache: RaggedCache | None = None
        # When the latest job began to be decoded.
        self._began = time.perf_counter()
        self._speculation = Speculation(len(evaluation.bad), cost)
        # Whether rows of one batch can have edits of their own.
        self.together = True
        # Positions and decoding steps that went through the model, for benchmarks.
        self.tokens = {"prompts": 0, "decoding": 0}
        self.steps = 0

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
        self._lines.clear()
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
        prefix, cache = self._prefix_of(job), self._slots()
        with attached(self._model.anatomy.writers, job.edits), torch.inference_mode():
            filled = self.prefill.run("bad", rows, prefix)
            lengths = self.prefill.put("bad", filled, prefix, cache, 0)
            self._lines = [_Line(job, row, length) for row, length in zip(rows, lengths, strict=True)]
            found = [filled.logits]
            for step in tokens[:-1]:
                found.append(self._forward(self._lines, [[token] for token in step])[:, -1])
                for line in self._lines:
                    line.cached += 1
        return [torch.log_softmax(logits, dim=-1) for logits in found]

    def _passes(self, name: str, rows: Sequence[int], job: Job, positions: int = 1) -> Iterator[PrefillResult]:
        """Take prompts through the model under a job's edits, in smaller batches where memory runs out. The edits are
        off whenever a result is yielded: the caller may raise there, and never come back."""
        prefix = self._prefix_of(job)

        def attempt(chunk: Sequence[int], count: int) -> PrefillResult:
            self._work.checkpoint()
            with attached(self._model.anatomy.writers, job.edits), torch.inference_mode():
                return self.prefill.run(name, chunk[:count], prefix, positions, job.residuals is not None)

        for filled in self.prefill.passes(name, rows, attempt, self._shrink, self._work.spare):
            self.tokens["prompts"] += filled.tokens
            if job.residuals and filled.residuals is not None:
                job.residuals(name, filled.rows, filled.residuals)
            yield filled

    def _shrink(self, rows: int) -> int:
        if not self._lines and not self._extra:
            self._cache = None
        return self._model.shrink(min(rows, self._model.batch_size))

    def _prefix_of(self, job: Job) -> PrefixStates:
        if (known := self._prefixes.get(job)) is None:
            with attached(self._model.anatomy.writers, job.edits), torch.inference_mode():
                self._prefixes[job] = known = self.prefill.prefix_states(job.first_edited)
        return known

    # Lines

    def _admit(self) -> None:
        """Let waiting prompts in where lines are free, the jobs in turn."""
        capacity = self._model.batch_size
        free = capacity - len(self._lines)
        if free < _REFILL * capacity and free < sum(map(len, self._waiting.values())):
            return
        # Where edits cannot differ by row, a batch belongs to one job.
        jobs = self._jobs if self.together else self._jobs[:1]
        wanted = {job: job.to_begin(self._waiting[job]) for job in jobs}
        share = {job: sum(line.job is job for line in self._lines) for job in jobs}
        chosen: dict[Job, list[int]] = {job: [] for job in jobs}
        for _ in range(min(free, sum(map(len, wanted.values())))):
            job = min(
                (job for job in jobs if len(chosen[job]) < len(wanted[job])),
                key=lambda job: share[job] + len(chosen[job]),
            )
            chosen[job].append(wanted[job][len(chosen[job])])
        for job, rows in chosen.items():
            if rows:
                self._fill(job, rows)

    def _fill(self, job: Job, rows: Sequence[int]) -> None:
        """Take prompts of one job through the model, and their first tokens."""
        clock = self._work.clock
        start = clock()
        for filled in self._passes("bad", rows, job):
            with torch.inference_mode():
                first = len(self._extra) + len(self._lines)
                lengths = self.prefill.put("bad", filled, self._prefixes[job], self._slots(), first)
                tokens = self._choose(filled.logits[:, None])
            added = [_Line(job, row, length) for row, length in zip(filled.rows, lengths, strict=True)]
            self._lines += added
            self._waiting[job] = [row for row in self._waiting[job] if row not in filled.rows]
            for line, token in zip(added, tokens, strict=True):
                self._take(line, token[0])
        job.add("prompts", clock() - start)
        job.look()
        self._compact()

    def _decode(self) -> None:
        """One token after the other for all lines, until a line leaves or further prompts have to begin."""
        if not self._lines:
            return
        before, changes, more = len(self._lines), self._changes, False
        with self._edits_of(self._lines)(), torch.inference_mode():
            while len(self._lines) == before and not more:
                self._open = self.together
                try:
                    self._work.checkpoint()
                finally:
                    self._open = False
                if self._changes != changes:
                    # Lines that have joined, or left: rows are others now.
                    return
                start = time.perf_counter()
                lines = self._lines
                self._step()
                seconds = (time.perf_counter() - start) / len(lines)
                for line in lines:
                    line.job.add("decoding", seconds)
                # A sum, as `any` would end at the first job that wants more, and each has to look.
                more = sum(job.look() for job in self._jobs) > 0
                self._compact()

    def _step(self) -> None:
        """Take the last token of every line through the model, and guesses at the next ones where that saves time."""
        lines, extra, speculation = self._lines, self._extra, self._speculation
        block = speculation.block([(line.row, line.response) for line in lines])
        last = self._evaluation.length - 1
        guesses = [
            speculation.guess(line.row, line.response, min(block - 1, last - len(line.response))) for line in lines
        ]
        tokens = [line.tokens[-1:] for line in extra]
        tokens += [[line.response[-1], *guess] for line, guess in zip(lines, guesses, strict=True)]
        # A line that has fewer guesses repeats its last token: what comes of that is not looked at.
        logits = self._forward([*extra, *lines], [row + row[-1:] * (block - len(row)) for row in tokens])
        tried = right = 0
        for line, guess, chosen in zip(lines, guesses, self._choose(logits)[len(extra) :], strict=True):
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
        speculation.learn(tried, right)

    def _forward(self, lines: Sequence[_Line | ExtraLine], tokens: list[Tokens]) -> Tensor:
        """Raw logits (lines, tokens, vocabulary) of the next tokens of the first lines of the cache, which are these.
        What extra lines wait for is handed to them."""
        model, cache = self._model, self._slots()
        ids = torch.tensor(tokens, device=model.device)
        cached = torch.tensor([line.cached for line in lines], device=model.device)
        positions = cached[:, None] + torch.arange(ids.shape[1], device=model.device)
        if ids.shape[1] > 1:
            # A model may have no positions beyond the longest response. What lies there is never looked at.
            ends = [line.cached + self._most_left(line) for line in lines]
            positions = positions.minimum(torch.tensor(ends, device=model.device)[:, None])
        width = cache.begin(positions)
        # Columns are positions, so this is causality and the end of the shorter lines at once.
        visible = torch.arange(width, device=model.device) <= positions[:, None, :, None]
        self.tokens["decoding"] += ids.numel()
        self.steps += 1
        logits = model.logits(ids, model.as_attention_mask(visible), positions, cache)
        for line, given in zip(self._extra, logits, strict=False):
            line.logits = given[0]
        return logits

    def _most_left(self, line: _Line | ExtraLine) -> int:
        """Tokens behind the next one that a line can have yet, at most."""
        return 0 if isinstance(line, ExtraLine) else self._evaluation.length - len(line.response)

    def _choose(self, logits: Tensor) -> list[Tokens]:
        """The most likely token of each line at each position, or `NO_TOKEN`; logits (lines, positions, vocabulary)."""
        chosen = most_likely(logits)
        if bool((chosen == NO_TOKEN).any()):
            self._slots().was_not_finite = True
        tokens: list[Tokens] = chosen.tolist()
        return tokens

    def _take(self, line: _Line, token: int) -> None:
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

    def _is_certain(self, line: _Line) -> bool:
        # What a judge fails at costs the trial of that response, and no other.
        with failures_of(line.job):
            return self._evaluation.certain(self._model, line.response)
        return False

    def _settle(self, line: _Line, whole: bool) -> None:
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
        """Close the gaps that settled lines and ended jobs left, and lines of which no further token matters: the last
        lines move into them."""
        alive = [
            line
            for line in self._lines
            if line.job in self._waiting
            and not line.job.ended
            and line.job.responses[line.row] is None
            and len(line.response) < line.job.wanted(line.row)
        ]
        if len(alive) == len(self._lines):
            return
        staying = set(alive)
        gaps = [place for place, line in enumerate(self._lines[: len(alive)]) if line not in staying]
        sources = [place for place in range(len(alive), len(self._lines)) if self._lines[place] in staying]
        self._move(sources, gaps, max((self._lines[place].cached for place in sources), default=0))
        for source, gap in zip(sources, gaps, strict=True):
            self._lines[gap] = self._lines[source]
        del self._lines[len(alive) :]

    def _drop(self, job: Job) -> None:
        self._jobs.remove(job)
        del self._waiting[job]
        self._prefixes.pop(job, None)
        self._compact()
        self._let_go()

    def _let_go(self) -> None:
        """Free the cache where nothing is in it."""
        if not self._jobs and not self._extra:
            self._cache = None

    def _move(self, sources: Sequence[int], targets: Sequence[int], width: int) -> None:
        """Copy lines of trials over others, by their places among them."""
        before = len(self._extra)
        self._slots().move([before + place for place in sources], [before + place for place in targets], width)

    def _begin_again(self, error: Exception) -> None:
        """Memory ran out: all lines wait again, and fewer of them are let in where there was nothing beside them."""
        spared = self._work.spare()
        lines = min(len(self._lines) or self._model.batch_size, self._model.batch_size)
        for job in self._jobs:
            if lines == 1 and not spared:
                job.error = error
            again = {line.row for line in self._lines if line.job is job}
            for row in again:
                job.begun.pop(row, None)
            self._waiting[job] = [row for row in job.order() if row in again or row in self._waiting[job]]
        self._lines.clear()
        if not spared:
            self._shrink(lines)
        release_blocks()

    def _slots(self) -> RaggedCache:
        if self._cache is None:
            longest = max(map(len, self._evaluation.bad)) + max(self._evaluation.length, CHECKED_TOKENS)
            self._cache = RaggedCache(self._model.batch_size, longest, self._model.depth)
        return self._cache

    def _edits_of(self, lines: Sequence[_Line]) -> Callable[[], Attached]:
        """Makes blocks within which the extra lines, and behind them these, are computed under their edits."""
        edits = [line.edits for line in self._extra] + [line.job.edits for line in lines]
        return under(self._model.anatomy.writers, edits)

    # Extra lines

    def join(self, line: ExtraLine, cache: Cache) -> bool:
        number, lines = len(self._extra), len(self._lines)
        if not self._open or not self.holds(line):
            return False
        slots = self._slots()
        with torch.inference_mode():
            # Trials keep all of theirs.
            slots.hold(self._model.batch_size + number + 1)
            # The first line of a trial makes room at its end.
            if self._lines:
                self._move([0], [lines], self._lines[0].cached)
                self._lines.append(self._lines.pop(0))
            for layer in range(self._model.depth):
                slots.put(layer, number, 0, *keys_and_values(cache, layer))
        self._extra.append(line)
        self._changes += 1
        return True

    def leave(self, line: ExtraLine) -> None:
        place, slots = self._extra.index(line), self._slots()
        last = self._extra[-1]
        if line is not last:
            # Its last token too, which is in the cache where its logits are there and were not looked at yet.
            slots.move([len(self._extra) - 1], [place], last.cached + 1)
            self._extra[place] = last
        if self._lines:
            # Before there is one less: the place is that of the last extra line.
            self._move([len(self._lines) - 1], [-1], self._lines[-1].cached)
            self._lines.insert(0, self._lines.pop())
        self._extra.pop()
        self._changes += 1
        self._let_go()

    def holds(self, line: ExtraLine) -> bool:
        return len(line.tokens) <= self._slots().capacity

    def step_extra(self) -> None:
        with self._edits_of([])(), torch.inference_mode():
            self._choose(self._forward(self._extra, [line.tokens[-1:] for line in self._extra]))
