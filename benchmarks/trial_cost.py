"""Seconds a trial, by stage: the plain way and the program's, alternating on the same random trials in one process.

The plain way is a padded batch through `model.generate` to full length, edits made from the weights, everything from
scratch for every trial.

python -m benchmarks.trial_cost
python -m benchmarks.trial_cost MODEL --good-prompts FILE --bad-prompts FILE --good-evaluation-prompts FILE ...
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig

from benchmarks.model_asked import add_model, settings_asked
from heretic_tui.engine.directions.interpolation import direction_parts
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.methods.base import edit_method, make_edit
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.job import Evaluation, Job
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.engine.search.space import Space
from heretic_tui.engine.search.study import Search, hide_output_of_optuna
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.workbench import Workbench, open_workbench
from heretic_tui.events import Event, Notice, PhaseFinished
from heretic_tui.parameters import Parameters
from heretic_tui.run.folder import RunFolder
from heretic_tui.work import Work


class Plain:
    """One trial after the other, everything from scratch."""

    def __init__(self, bench: Workbench) -> None:
        self._bench, self._model = bench, bench.model
        self.tokens = {"prompts": 0, "decoding": 0}

    def measure(self, parameters: Sequence[Parameters]) -> list[Job]:
        return [self._measure(number, each) for number, each in enumerate(parameters)]

    def _measure(self, number: int, parameters: Parameters) -> Job:
        bench, model = self._bench, self._model
        job = Job(number, {}, 0)
        evaluation = bench.baseline.evaluation
        start = time.perf_counter()
        edits = {}
        for writer in model.anatomy.writers:
            kernel = parameters.components.get(writer.component)
            if kernel and (strength := kernel.strength(writer.layer)):
                vectors = next(iter(bench.directions.by_method.values())).vectors
                parts = direction_parts(vectors, parameters.direction_index, writer.layer)
                v = torch.stack([vectors[j].T @ share.float() for j, share in parts]).sum(dim=0)
                edits[writer.name] = make_edit(
                    writer.weight(), v, strength, edit_method(bench.run.settings.edit_method)
                )
        job.add("edit", time.perf_counter() - start)
        with attached(model.anatomy.writers, edits):
            start, values = time.perf_counter(), torch.zeros(len(evaluation.good), dtype=torch.float64)
            metric = evaluation.metrics.first_tokens["kl_divergence"]

            def first_tokens(batch: Batch) -> None:
                self.tokens["prompts"] += batch.ids.numel()
                logits = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
                values[batch.rows] = metric.per_prompt(batch.rows, torch.log_softmax(logits, dim=-1)).double().cpu()

            model.in_batches(evaluation.good, first_tokens)
            job.figures["kl_divergence"] = metric.of(values)
            job.add("KL divergence", time.perf_counter() - start)
            start = time.perf_counter()
            job.responses = [None] * len(evaluation.bad)
            model.in_batches(evaluation.bad, lambda batch: self._generate(batch, evaluation, job))
            job.add("refusals", time.perf_counter() - start)
        return job

    def _generate(self, batch: Batch, evaluation: Evaluation, job: Job) -> None:
        ends = self._model.end_tokens
        config = GenerationConfig(
            max_new_tokens=evaluation.length,
            do_sample=False,
            eos_token_id=sorted(ends),
            pad_token_id=self._model.pad_token,
        )
        out = self._model.network.generate(batch.ids, attention_mask=batch.mask, generation_config=config)
        self.tokens["prompts"] += batch.ids.numel()
        self.tokens["decoding"] += out[:, batch.ids.shape[1] :].numel()
        for row, line in zip(batch.rows, out[:, batch.ids.shape[1] :].tolist(), strict=True):
            end = next((i for i, token in enumerate(line) if token in ends), len(line))
            job.responses[row] = evaluation.response(self._model, row, line[:end], whole=True)


class Fast:
    """The program's way, without stopping trials that have lost."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    @property
    def tokens(self) -> dict[str, int]:
        pool = self._bench.baseline.pool
        return dict(pool.tokens) if isinstance(pool, FastPool) else {}

    def measure(self, parameters: Sequence[Parameters]) -> list[Job]:
        waiting = [self._bench.job(number, each) for number, each in enumerate(parameters)]
        done: list[Job] = []
        in_hand = 0
        while len(done) < len(parameters):
            while waiting and in_hand < self._bench.baseline.trials_at_once:
                self._bench.baseline.pool.start(waiting.pop(0))
                in_hand += 1
            done.append(self._bench.baseline.pool.advance())
            in_hand -= 1
        return sorted(done, key=lambda job: job.number or 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20, help="random trials [20]")
    parser.add_argument("--group", type=int, default=5, help="trials measured one way before the other's turn [5]")
    parser.add_argument("--only", choices=("plain", "fast"), help="one way alone; prints its peak memory")
    add_model(parser)
    options = parser.parse_args()
    settings = settings_asked(options, {"seed": 0})

    def tell(event: Event) -> None:
        if isinstance(event, Notice):
            print(event.text)
        if isinstance(event, PhaseFinished) and not options.only:
            print(f"{event.phase:20}{event.seconds:9.3f} s")

    hide_output_of_optuna()
    inputs = check_inputs(settings)
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name))
        folder.create()
        bench = open_workbench(RunInputs.of(inputs.settings, inputs.sets, folder), Work(tell))
        space = Space(bench.model.depth, bench.model.anatomy.components)
        study = Search(folder.study, "study", settings.seed or 0, 10**6, space)
        trials = [study.ask(number) for number in range(options.trials)]
        if options.only:
            (Plain if options.only == "plain" else Fast)(bench).measure(trials[: bench.baseline.trials_at_once])
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
            return
        compare(bench, trials, options.group)
    print()
    megabytes = {way: peak_memory(way) for way in ("plain", "fast")}
    print(f"peak memory    plain {megabytes['plain']} MB, fast {megabytes['fast']} MB")


def compare(bench: Workbench, trials: list[Parameters], group: int) -> None:
    ways: dict[str, Plain | Fast] = {"plain": Plain(bench), "fast": Fast(bench)}
    before = dict(ways["fast"].tokens)
    jobs: dict[str, list[Job]] = {way: [] for way in ways}
    wall = dict.fromkeys(ways, 0.0)
    for first in range(0, len(trials), group):
        for way, measurer in ways.items():
            start = time.perf_counter()
            jobs[way] += measurer.measure(trials[first : first + group])
            wall[way] += time.perf_counter() - start
            print(f"  {way}: {first + group} trials in {wall[way]:.1f} s", flush=True)
    print(
        f"\n{len(trials)} random trials, batch size {bench.model.batch_size}, {bench.baseline.trials_at_once} at once"
    )
    for way in ways:
        stages = {stage: None for job in jobs[way] for stage in job.stages}
        parts = ", ".join(
            f"{stage} {statistics.fmean(job.stages.get(stage, 0.0) for job in jobs[way]):.3f}" for stage in stages
        )
        print(f"{way:6}{wall[way] / len(trials):8.3f} s a trial   ({parts})")
    print(f"ratio {wall['plain'] / wall['fast']:8.2f}")
    for way in ways:
        tokens = {k: (n - before.get(k, 0) * (way == "fast")) // len(trials) for k, n in ways[way].tokens.items()}
        print(
            f"{way:6}computes a trial {tokens['prompts']:,} tokens of prompts and {tokens['decoding']:,} of responses"
        )
    pairs = list(zip(jobs["plain"], jobs["fast"], strict=True))
    apart = max(abs(a.figures["kl_divergence"] - b.figures["kl_divergence"]) for a, b in pairs)
    differing = sum(
        x is None or y is None or x.verdict.refused != y.verdict.refused
        for a, b in pairs
        for x, y in zip(a.responses, b.responses, strict=True)
    )
    print(
        f"KL differs by at most {apart:.1e}; {differing} of {sum(len(a.responses) for a, _ in pairs)} verdicts differ"
    )
    print(f"decoding step, by rows: {step_rates(bench.model)}")


def step_rates(model: ChatModel) -> str:
    """Rate of the matrix products of one decoding step alone, the machine's limit."""
    matrices = [m.weight for m in model.network.modules() if isinstance(m, torch.nn.Linear)]
    operations = 2 * sum(weight.numel() for weight in matrices)
    found = []
    for rows in (1, 8, 25, 50, 100, 200):
        inputs = {w.shape[1]: torch.randn(rows, w.shape[1], dtype=w.dtype, device=w.device) for w in matrices}

        def step(inputs: dict[int, torch.Tensor] = inputs) -> None:
            for weight in matrices:
                torch.nn.functional.linear(inputs[weight.shape[1]], weight)

        seconds = best_of(step)
        found.append(f"{rows}: {1000 * seconds:.1f} ms, {operations * rows / seconds / 1e9:.0f} GFLOP/s")
    return "; ".join(found)


def best_of(step: Callable[[], None], times: int = 5) -> float:
    with torch.inference_mode():
        found = []
        for _ in range(times):
            start = time.perf_counter()
            step()
            found.append(time.perf_counter() - start)
    return min(found)


def peak_memory(way: str) -> int:
    """Most memory that a process needs which measures one way alone, in MB."""
    done = subprocess.run([sys.executable, *sys.argv, "--only", way], stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
