"""Samplers and starts of the search compared: the hypervolume of the front after so many trials, over several seeds.

A comparison needs tens of thousands of trials, and verdicts are the slow part of one. So a prompt counts as refused
here where a refusal is likelier than not by how its response begins (`--verdicts`: as a run judges).
Nothing is measured twice: what edits gave is kept in a folder.

python -m benchmarks.samplers --kept /tmp/kept --seeds 8 --ways tpe_60,tpe_20,sobol_20
python -m benchmarks.samplers MODEL --kept /tmp/kept2 --good-prompts FILE ... --ways tpe_60,random
python -m benchmarks.samplers --kept /tmp/kept --table
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, QMCSampler
from optuna.trial import FrozenTrial, create_trial

from benchmarks.fronts import Point, hypervolume, log_hypervolume
from benchmarks.model_asked import add_model, settings_asked
from heretic_tui.engine.measuring.odds import compared
from heretic_tui.engine.search.sampler import Sampler, seed_of, trials_shown
from heretic_tui.engine.search.space import GLOBAL, PER_LAYER, Sampled, Space
from heretic_tui.engine.search.study import hide_output_of_optuna
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.parameters import Parameters
from heretic_tui.settings.schema import Settings

# Trials that are in hand at once, as in a run of the demo: the sampler knows no more.
AT_ONCE = 3
LOOKS = (25, 50, 100, 200)

Draw = Callable[[list[FrozenTrial], int], Sampled]


@dataclass
class Measured:
    """What an edit gave: KL divergence by good prompt, and refusals."""

    kl: list[float]
    refusals: float

    @property
    def point(self) -> Point:
        return compared(statistics.fmean(self.kl)), self.refusals


class Objective:
    """Measures edits of one model, each once.

    Args:
        kept: folder for the run of the model and for what was measured.
    """

    def __init__(self, settings: Settings, kept: Path, verdicts: bool) -> None:
        self._bench = Workbench.open(settings, kept / "run")
        self._verdicts = verdicts
        self._file = kept / ("verdicts.jsonl" if verdicts else "first-tokens.jsonl")
        self._known: dict[str, Measured] = {}
        if self._file.exists():
            for line in self._file.read_text().splitlines():
                record = json.loads(line)
                self._known[record["of"]] = Measured(record["kl"], record["refusals"])
        evaluation = self._bench.baseline.evaluation
        self._metric = evaluation.metrics.first_tokens["kl_divergence"]
        self.prompts = len(evaluation.bad)
        self.space = Space(self._bench.model.depth, self._bench.model.anatomy.components)
        self.depth = self._bench.model.depth
        self.fresh, self.seconds = 0, 0.0

    def __call__(self, parameters: Parameters) -> Measured:
        key = json.dumps(parameters.to_json(), sort_keys=True)
        if key not in self._known:
            start = time.perf_counter()
            found = self._known[key] = self._measure(parameters)
            self.fresh, self.seconds = self.fresh + 1, self.seconds + time.perf_counter() - start
            with self._file.open("a") as file:
                file.write(json.dumps({"of": key, "kl": found.kl, "refusals": found.refusals}) + "\n")
        return self._known[key]

    def _measure(self, parameters: Parameters) -> Measured:
        bench, evaluation = self._bench, self._bench.baseline.evaluation
        job, pool = bench.job(None, parameters), bench.baseline.pool
        kl = torch.zeros(len(evaluation.good), dtype=torch.float64)
        for rows, logits in pool.first_logits(job, "good", range(len(evaluation.good))):
            kl[list(rows)] = self._metric.per_prompt(rows, torch.log_softmax(logits, dim=-1)).double().cpu()
        if self._verdicts:
            job.compared = False
            pool.start(job)
            pool.advance()
            if job.error:
                raise job.error
            refused = job.refusals
        else:
            assert bench.openings, "refusals of this model cannot be told before they are decoded: take --verdicts"
            refused = int((bench.openings.per_prompt(pool, job, range(self.prompts)) > 0.5).sum())
        return Measured([round(value, 8) for value in kl.tolist()], refused)


@dataclass
class Way:
    """One way to search.

    Attributes:
        startup: trials before TPE begins.
        begin: points of the first trials, by the seed; the rest of the start is drawn at random.
        change: applied to the sampler before it draws.
        tell: what the sampler is told of a trial's figures.
        at_random: after the start every so many-th trial is drawn at random all the same; 0 for none.
        of_optuna: makes a sampler of Optuna that takes the place of TPE.
    """

    startup: int = 60
    begin: Callable[[Objective, int], Sequence[Sampled]] = lambda objective, seed: ()
    change: Callable[[Sampler], None] = lambda sampler: None
    tell: Callable[[Measured, np.random.Generator], Point] = lambda measured, rng: measured.point
    at_random: int = 0
    of_optuna: Callable[[int], BaseSampler] | None = None
    at_once: int = AT_ONCE


def sobol(objective: Objective, seed: int, count: int) -> Sequence[Sampled]:
    """The first points of a scrambled Sobol sequence."""
    study = optuna.create_study(sampler=QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False))
    # What is no number is drawn at random there: it takes a dimension of its own here.
    numbers = {"scope": optuna.distributions.FloatDistribution(0, 1)} | {
        name: each for name, each in objective.space.dimensions.items() if name != "direction_scope"
    }
    found = []
    for _ in range(count + 1):
        trial = study.ask(numbers)
        values = dict(trial.params)
        values["direction_scope"] = GLOBAL if values.pop("scope") < 0.5 else PER_LAYER
        found.append(values)
        study.tell(trial, 0.0)
    # Optuna draws the very first one at random.
    return found[1:]


def seeded(objective: Objective, seed: int) -> list[Sampled]:
    """A few edits that one would try by hand: every layer at weight 1 and the upper half, with one direction or each
    layer's own; and with the attention alone."""
    last = objective.depth - 1
    found: list[Sampled] = []
    for scope, index in ((PER_LAYER, 0.6), (GLOBAL, 0.6), (GLOBAL, 0.75)):
        for reach, least in ((1.0, 1.0), (0.5, 0.3)):
            found.append(_uniform(objective, scope, index * last, reach * last, least, 1.0))
    found.append(_uniform(objective, PER_LAYER, 0.6 * last, last, 0.5, 0.0))
    return found


def _uniform(objective: Objective, scope: str, index: float, reach: float, least: float, mlp: float) -> Sampled:
    point: dict[str, float | str] = {"direction_scope": scope, "direction_index": index}
    for name, dimension in objective.space.dimensions.items():
        if name not in point:
            assert isinstance(dimension, optuna.distributions.FloatDistribution)
            kind = name.rpartition(".")[2]
            wanted = {
                "max_weight": 1.0 if dimension.low > 0 else mlp,
                "max_weight_position": 0.8 * (objective.depth - 1),
                "min_weight": least,
                "min_weight_distance": reach,
            }[kind]
            point[name] = min(max(wanted, dimension.low), dimension.high)
    return point


def _set(name: str, value: object) -> Callable[[Sampler], None]:
    return lambda sampler: setattr(sampler, name, value)


def _noisy(measured: Measured, rng: np.random.Generator, error: float, share: float) -> Point:
    """Refusals with an error, KL divergence of a part of the prompts."""
    kl = statistics.fmean(measured.kl[: max(1, round(share * len(measured.kl)))])
    refusals = measured.refusals + (rng.normal(0, error) if error else 0.0)
    return compared(kl), max(0.0, round(refusals, 2))


def _log_kl(measured: Measured, rng: np.random.Generator) -> Point:
    kl, refusals = measured.point
    return math.log10(kl + 1e-4), refusals


def _share(n: int, share: float) -> int:
    return max(1, round(share * n))


WAYS: dict[str, Way] = {
    "random": Way(startup=10**6),
    **{f"tpe_{n}": Way(startup=n) for n in (10, 20, 30, 60)},
    **{f"tpe_20_ei_{n}": Way(20, change=_set("_n_ei_candidates", n)) for n in (1, 4, 8, 24, 512)},
    **{f"tpe_60_ei_{n}": Way(60, change=_set("_n_ei_candidates", n)) for n in (4, 8, 24)},
    **{f"tpe_20_mixed_{n}": Way(20, at_random=n) for n in (2, 3, 4)},
    "tpe_20_ei_4_mixed_4": Way(20, change=_set("_n_ei_candidates", 4), at_random=4),
    **{f"tpe_20_gamma_{g}": Way(20, change=_set("_gamma", partial(_share, share=g / 100))) for g in (5, 20, 30)},
    "tpe_20_no_liar": Way(20, change=_set("_constant_liar", False)),
    "tpe_20_alone": Way(20, at_once=1),
    "tpe_20_log_kl": Way(20, tell=_log_kl),
    "tpe_20_univariate": Way(20, change=_set("univariate", True)),
    **{f"sobol_{n}": Way(n, begin=partial(sobol, count=n)) for n in (20, 60)},
    **{f"seeded_{n}": Way(n, begin=seeded) for n in (10, 20)},
    "noise_2": Way(20, tell=partial(_noisy, error=2.0, share=1.0)),
    "noise_5": Way(20, tell=partial(_noisy, error=5.0, share=1.0)),
    "noise_quarter": Way(20, tell=partial(_noisy, error=0.0, share=0.25)),
    "noise_2_quarter": Way(20, tell=partial(_noisy, error=2.0, share=0.25)),
    "nsga_ii": Way(of_optuna=lambda seed: NSGAIISampler(population_size=20, seed=seed)),
    "nsga_iii": Way(of_optuna=lambda seed: NSGAIIISampler(population_size=20, seed=seed)),
    "gp_20": Way(of_optuna=lambda seed: GPSampler(n_startup_trials=20, seed=seed)),
}


def course(objective: Objective, way: Way, seed: int, n_trials: int) -> list[Point]:
    """The figures of the trials of one search."""
    rng = np.random.default_rng(seed)
    begin = list(way.begin(objective, seed))
    if way.of_optuna:
        return _course_of_optuna(objective, way, way.of_optuna(seed), n_trials)
    trials: list[FrozenTrial] = []
    points: list[Point] = []
    for number in range(n_trials):
        if number < len(begin):
            sampled = begin[number]
        else:
            anyhow = way.at_random and number % way.at_random == 0
            sampler = Sampler(10**6 if anyhow else way.startup, seed_of(seed, number))
            way.change(sampler)
            shown = trials_shown(trials, max(0, number - way.at_once + 1))
            sampled = _drawn(sampler, shown, number, objective.space.dimensions)
        measured = objective(objective.space.parameters(sampled))
        points.append(measured.point)
        trial = create_trial(
            params=dict(sampled), distributions=objective.space.dimensions, values=list(way.tell(measured, rng))
        )
        trial.number = number
        trials.append(trial)
    return points


def _drawn(sampler: Sampler, shown: list[FrozenTrial], number: int, space: Mapping[str, BaseDistribution]) -> Sampled:
    """As a run draws; where parameters are to be drawn one by one, each from the trials alone."""
    if not getattr(sampler, "univariate", False):
        return sampler.draw(shown, number, space)
    found: dict[str, float | str] = {}
    for name, distribution in space.items():
        found |= sampler.draw(shown, number, {name: distribution})
    return found


def _course_of_optuna(objective: Objective, way: Way, sampler: BaseSampler, n_trials: int) -> list[Point]:
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    points = []
    for _ in range(n_trials):
        trial = study.ask(objective.space.dimensions)
        point = objective(objective.space.parameters(trial.params)).point
        points.append(point)
        study.tell(trial, point)
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ways", default="tpe_60", help=f"comma-separated: {', '.join(WAYS)}")
    parser.add_argument("--kept", type=Path, required=True, help="folder for what was measured")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--verdicts", action="store_true", help="decode, as a run does")
    parser.add_argument("--table", action="store_true", help="only print what was found before")
    add_model(parser)
    options = parser.parse_args()
    found_in = options.kept / ("courses-verdicts.jsonl" if options.verdicts else "courses.jsonl")
    if not options.table:
        hide_output_of_optuna()
        settings = settings_asked(options, {"seed": 0, "n_trials": max(LOOKS)})
        objective = Objective(settings, options.kept, options.verdicts)
        search(objective, options.ways.split(","), options.seeds, settings.n_trials, found_in)
    table(found_in)


def search(objective: Objective, ways: Sequence[str], seeds: int, n_trials: int, found_in: Path) -> None:
    """Go through the searches that are not in the file yet; their figures are added to it."""
    done = {(each["way"], each["seed"]) for each in courses(found_in)}
    for seed in range(seeds):
        for name in ways:
            if (name, seed) in done:
                continue
            start, measuring, fresh = time.perf_counter(), objective.seconds, objective.fresh
            points = course(objective, WAYS[name], seed, n_trials)
            seconds, spent = time.perf_counter() - start, objective.seconds - measuring
            record = {"way": name, "seed": seed, "prompts": objective.prompts, "points": points}
            with found_in.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(
                f"{name} seed {seed}: {hypervolume(points, objective.prompts):.4f} in {seconds:.1f} s, "
                f"{objective.fresh - fresh} measured in {spent:.1f} s",
                flush=True,
            )


def courses(found_in: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in found_in.read_text().splitlines()] if found_in.exists() else []


def table(found_in: Path) -> None:
    """Means over the seeds with their standard errors: of the hypervolume, and of how far below the first way's."""
    by_way: dict[str, dict[int, dict[str, Any]]] = {}
    for each in courses(found_in):
        by_way.setdefault(each["way"], {})[each["seed"]] = each
    for title, volume in (("KL to 1", hypervolume), ("KL to 0.1", below_a_tenth), ("log KL", log_hypervolume)):
        print(f"\nhypervolume, {title}; after {', '.join(map(str, LOOKS))} trials")
        for name, by_seed in by_way.items():
            cells = []
            for count in (look for look in LOOKS if all(look <= len(c["points"]) for c in by_seed.values())):
                found = [volume([tuple(p) for p in c["points"][:count]], c["prompts"]) for c in by_seed.values()]
                cells.append(f"{statistics.fmean(found):.4f} ± {error(found):.4f}")
            print(f"{name:18}{'   '.join(cells)}   ({len(by_seed)} seeds)")


def below_a_tenth(points: Iterable[Point], prompts: int) -> float:
    return hypervolume(points, prompts, worst_kl=0.1)


def error(values: Sequence[float]) -> float:
    """Standard error of the mean."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


if __name__ == "__main__":
    main()
