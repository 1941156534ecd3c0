"""Seconds before the first trial, phase by phase: of the processor and by the clock, from the import on. On a machine
that does other work too the processor's seconds compare two versions.

python -m benchmarks.preparation
python -m benchmarks.preparation MODEL --good-prompts FILE --bad-prompts FILE --good-evaluation-prompts FILE ...
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks.model_asked import add_model, settings_asked
from heretic_tui.imports import large_imports
from heretic_tui.settings.schema import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=2, help="the batch size is remembered from the second on [2]")
    add_model(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # What is remembered is that of this program alone.
        os.environ["XDG_STATE_HOME"] = folder
        for number in range(options.times):
            runs = {"runs_dir": str(Path(folder) / f"runs-{number}"), "n_trials": 1}
            _measure(settings_asked(options, {"seed": 0}, runs))


def _measure(settings: Settings) -> None:
    start, began = time.perf_counter(), time.process_time()

    def tell(what: str) -> None:
        print(f"{what:20}{time.process_time() - began:10.2f}{time.perf_counter() - start:10.2f}", flush=True)

    print(f"{'seconds until after':20}{'processor':>10}{'clock':>10}")
    with large_imports():
        from heretic_tui import events as ev
        from heretic_tui.control import Control
        from heretic_tui.engine.inputs.check import check_inputs
        from heretic_tui.engine.search.study import hide_output_of_optuna
        from heretic_tui.engine.session.session import Session

    hide_output_of_optuna()
    tell("import")
    inputs = check_inputs(settings)
    tell("check of inputs")
    session = Session(inputs, Control())

    def hear(event: ev.Event) -> None:
        match event:
            case ev.PhaseFinished():
                tell(event.phase)
            case ev.TrialFinished():
                tell("FIRST TRIAL")

    session.listeners.append(hear)
    try:
        session.run()
    finally:
        session.close()


if __name__ == "__main__":
    main()
