"""How good the fronts are that searches find, by direction method and by search space, over several seeds.

python -m benchmarks.front_quality --results demo.jsonl --spaces heretic-1 wide --seeds 3 --n-trials 200
python -m benchmarks.front_quality MODEL --results mine.jsonl --methods mean_difference clusters+leace \\
    --directions-per-layer 3 --good-prompts FILE --bad-prompts FILE ...
python -m benchmarks.front_quality --results demo.jsonl mine.jsonl --table table.md --picture picture.png

Each search is a run as a person would start it; several methods joined by + are searched together. Figures are of its
front, and of trials on a front every response was decoded: none is an estimate. What is best of a hundred trials was
chosen by the prompts that it is best on, so the front is measured once more, on prompts that neither directions nor
search saw (`--review-good-prompts`, `--review-bad-prompts`).

A line of the results file is one search. Those that are in it are not made again, so that what was interrupted goes on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.front_tables import Search, Trial, key_of, picture, read_searches, table
from benchmarks.model_asked import add_model, settings_asked
from benchmarks.reliability import KL
from benchmarks.search_cost import search
from heretic_tui.engine.directions.methods.base import direction_method
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.inputs.held_out import HARMFUL, HARMLESS, ReviewPrompts, review_prompts
from heretic_tui.engine.session.reviewing import checked_prompts, review
from heretic_tui.engine.session.session import Session
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.figures import REFUSALS
from heretic_tui.run.reviews import read_review
from heretic_tui.settings.flags import flags_of
from heretic_tui.settings.prompt_sets import DEFAULT_SETS
from heretic_tui.settings.schema import Settings
from heretic_tui.words import duration
from heretic_tui.work import Work

# One by one, and all of them in one search.
ALONE = ("mean_difference", "geometric_median", "clusters", "principal_components", "discriminant", "leace")
TOGETHER = "+".join(ALONE)
# What a setting is where no method of a search uses it; the last one means nothing with one direction a layer.
_UNUSED: Mapping[str, object] = {"directions_per_layer": 1, "keep_prompts": [], "direction_file": None}
_WEIGHTS = {"direction_weights": "together"}


@dataclass(frozen=True)
class Way:
    """How a search is made; `settings`: what was given of it, but for prompts."""

    methods: tuple[str, ...]
    space: str
    settings: Mapping[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--results", type=Path, nargs="+", required=True, metavar="FILE",
                        help="what was found; searches are added to the first")  # fmt: skip
    parser.add_argument("--methods", nargs="+", default=[*ALONE, TOGETHER], metavar="NAME[+NAME...]",
                        help="direction methods, each in its own searches [each alone, and all together]")  # fmt: skip
    parser.add_argument("--spaces", nargs="+", default=["heretic-1"], help="search spaces [heretic-1]")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each way [3]")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--name", help="what the model is called in tables [its folder or id]")
    parser.add_argument("--table", type=Path, metavar="FILE", help="search no more, and write the table here")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="search no more, and draw here")
    add_model(parser)
    options = parser.parse_args()
    if not (options.table or options.picture):
        go_through(options, [way_of(each, space, options) for space in options.spaces for each in options.methods])
    found = [one for path in options.results for one in read_searches(path)]
    if options.picture:
        picture(found, options.picture)
    if options.table:
        options.table.write_text(table(found), encoding="utf-8")
    else:
        print(table(found))


def way_of(methods: str, space: str, options: argparse.Namespace) -> Way:
    """A way, without the settings that it does not use."""
    names = tuple(methods.split("+"))
    used = {setting for name in names for setting in direction_method(name).uses}
    given = {name: value for name, value in flags_of(options).items() if name not in (*DEFAULT_SETS, "n_trials")}
    left_out = [*(set(_UNUSED) - used), *([] if "directions_per_layer" in used else _WEIGHTS)]
    return Way(names, space, {name: value for name, value in given.items() if name not in left_out})


def go_through(options: argparse.Namespace, ways: Sequence[Way]) -> None:
    """Make the searches that are not in the file yet, seed by seed, so that what else the machine does falls on all."""
    results: Path = options.results[0]
    name = options.name or options.given_model or "demo"
    with tempfile.TemporaryDirectory() as folder:
        left = list(_left(options, ways, name, Path(folder)))
        for _, settings in left[:1]:
            held_back = review_prompts(settings, check_inputs(settings).sets)
            if not (held_back.sets[HARMFUL] and held_back.sets[HARMLESS]):
                raise SystemExit("no prompts are held back: name some (--review-bad-prompts, --review-good-prompts)")
        print(f"{name}: {len(left)} searches to make", flush=True)
        began = time.perf_counter()
        for done, (way, settings) in enumerate(left):
            one = made(name, way, settings)
            results.parent.mkdir(parents=True, exist_ok=True)
            with results.open("a", encoding="utf-8") as file:
                file.write(one.to_line())
            rest = (time.perf_counter() - began) / (done + 1) * (len(left) - done - 1)
            at = {level: trial.kl for level in (10, 3) if (trial := one.at(level))}
            print(
                f"[{done + 1}/{len(left)}] {'+'.join(way.methods)}, {way.space}, seed {one.seed}: {len(one.front)} on "
                f"the front, KL {at}, {one.seconds:.0f} processor seconds; {duration(rest)} left",
                flush=True,
            )


def _left(options: argparse.Namespace, ways: Sequence[Way], name: str, folder: Path) -> Iterator[tuple[Way, Settings]]:
    """The searches that are not in the file yet."""
    known = {one.key for one in read_searches(options.results[0])}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for number, way in enumerate(ways):
            settings = settings_asked(
                options,
                # The layers say nothing of fronts.
                usual={"layer_test_prompts": 0},
                fixed={
                    **_UNUSED, **_WEIGHTS, **way.settings, "direction_method": list(way.methods),
                    "search_space": way.space, "seed": seed,
                    # No two of them share anything that was found.
                    "runs_dir": str(folder / f"{seed}-{number}"),
                },
            )  # fmt: skip
            if key_of(name, way.methods, way.space, way.settings, settings.n_trials, seed) not in known:
                yield way, settings


def made(name: str, way: Way, settings: Settings) -> Search:
    """One search, and its front once more on prompts that it did not see."""
    began = time.process_time()
    found, session = search(settings)
    seconds = time.process_time() - began
    bench = session.workbench
    assert bench is not None
    run, model, evaluation = bench.run, bench.model, bench.baseline.evaluation
    held_back = checked_prompts(run.settings, run.sets, model.tokenizer, model.network.config)
    front = judged(session, bench, held_back)
    session.close()
    return Search(
        model=name,
        methods=way.methods,
        space=way.space,
        given=way.settings,
        trials=settings.n_trials,
        seed=settings.seed or 0,
        prompts=(len(evaluation.good), len(evaluation.bad)),
        held_back=(len(held_back.sets[HARMLESS]), len(held_back.sets[HARMFUL])),
        tokens=settings.max_response_length,
        seconds=round(seconds, 1),
        counts=dict(Counter(trial.state for trial in found.state.trials.values())),
        front=front,
    )


def judged(session: Session, bench: Workbench, held_back: ReviewPrompts) -> tuple[Trial, ...]:
    """The trials of a front with what a review finds of them on prompts that were held back."""
    front = session.state.front()
    review(bench, held_back, front, ["held_out"], Work())
    found = read_review(session.folder.review, ["held_out"])
    trials = []
    for trial in front:
        refused, kl = (found.figure("held_out", key, trial.number) for key in ("refused", "kl"))
        assert refused
        assert kl
        method = trial.parameters.direction_method if trial.parameters else None
        trials.append(Trial(trial.figures[KL], trial.figures[REFUSALS], kl.number, refused.number, method))
    return tuple(trials)


if __name__ == "__main__":
    main()
