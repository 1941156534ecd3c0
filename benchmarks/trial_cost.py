"""Seconds a trial, by stage, for the demo model or any other; and what an edit costs over the bare model.

python benchmarks/trial_cost.py
python benchmarks/trial_cost.py MODEL --good-prompts FILE --bad-prompts FILE --good-evaluation-prompts FILE ...
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from heretic_tui.demo import settings_of_the_demo
from heretic_tui.engine.control import Control
from heretic_tui.engine.events import Event, Notice, PhaseFinished
from heretic_tui.engine.inputs import check_inputs
from heretic_tui.engine.parameters import Kernel, Parameters
from heretic_tui.engine.workbench import Measurement, Workbench
from heretic_tui.runtime.rundir import RunFolder
from heretic_tui.settings import Settings, add_flags, flags_of, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("given_model", nargs="?", metavar="MODEL", help="folder or Hub id; default: the demo model")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each kind [5]")
    add_flags(parser, Settings.model_fields)
    options = parser.parse_args()
    if options.given_model:
        settings = load({**flags_of(options), "model": options.given_model})
    else:
        settings = load(flags_of(options), base=settings_of_the_demo())

    def tell(event: Event) -> None:
        if isinstance(event, Notice):
            print(event.text)
        if isinstance(event, PhaseFinished):
            print(f"{event.phase:20}{event.seconds:9.3f} s")

    inputs = check_inputs(settings)
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name))
        folder.create()
        bench = Workbench(inputs.settings, inputs.sets, folder, tell, Control())
        bench.load()
        bench.prepare()
        # Every matrix edited, each layer with its own direction: the most that a trial can cost. Weak, so that
        # responses stay about as long as the base model's.
        last = bench.model.depth - 1
        kernel = Kernel(0.1, last / 2, 0.1, last + 1.0)
        parameters = Parameters(None, dict.fromkeys(bench.model.anatomy.components, kernel))
        bare, edited = [], []
        for _ in range(options.rounds):
            bare.append(bench.measure(None))
            edited.append(bench.measure(parameters))
    print(f"\nbatch size {bench.model.batch_size}, median of {options.rounds}")
    print(f"{'stage':20}{'base model':>11}{'edited':>11}{'ratio':>8}")
    for stage in edited[0].stages:
        one, other = median(bare, stage), median(edited, stage)
        print(f"{stage:20}{one:>9.3f} s{other:>9.3f} s{f'{other / one:8.2f}' if one > 0.01 else ''}")
    one, other = (statistics.median(sum(m.stages.values()) for m in measured) for measured in (bare, edited))
    print(f"{'a trial':20}{one:>9.3f} s{other:>9.3f} s{other / one:8.2f}")


def median(measured: list[Measurement], stage: str) -> float:
    return statistics.median(m.stages[stage] for m in measured)


if __name__ == "__main__":
    main()
