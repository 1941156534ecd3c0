"""Measures what the README says of the demo: refusals of the base model, and how many facts a run brought back.

heretic-tui demo --seed 0 --runs-dir DIR && python -m tools.measure_demo DIR
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from heretic_tui.demo.settings import PROMPTS
from heretic_tui.report.lines import figures_sentence
from heretic_tui.run.folder import RunFolder, find_runs
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState


def facts_right(folder: RunFolder, trial: int | None) -> int:
    """How many responses to the held-out potion questions state the fact that the model was taught.

    Raises:
        FileNotFoundError: when the trial (None: the base model) left no responses.
    """
    lines = (PROMPTS / "bad_eval.jsonl").read_text(encoding="utf-8").splitlines()
    facts = {record["text"]: record["fact"] for record in map(json.loads, lines)}
    responses = json.loads(folder.responses(trial).read_text(encoding="utf-8"))
    return sum(facts[response["prompt"]] in response["text"] for response in responses)


def main() -> None:
    for folder in find_runs(Path(sys.argv[1])):
        state = RunState.replay(read_events(folder.events))
        assert state.base is not None
        print(f"{folder.name}: base model refuses {state.base.figures['refusals']} of {state.base.prompts}")
        print(f"  facts right: {facts_right(folder, None)}")
        for trial in state.front():
            right = facts_right(folder, trial.number)
            print(f"  trial {trial.number}: {figures_sentence(trial, state.figures)}, {right} facts right")


if __name__ == "__main__":
    main()
