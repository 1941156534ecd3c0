"""Exports for tests: a short search, the record of an export, and the logits that it must have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from heretic_tui.engine.anatomy.writers import find_anatomy
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.run.folder import find_runs
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from tests.support.commands import Ended

Heretic = Callable[..., Ended]


def logits_of(network: torch.nn.Module) -> torch.Tensor:
    tokens = torch.randint(0, 250, (3, 20), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits: torch.Tensor = network(input_ids=tokens).logits
        return logits


def expected_logits(model: Path, runs_dir: Path, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits with the trial's edit attached, from the run folder's directions, and those of the base model."""
    from safetensors.torch import load_file

    (folder,) = find_runs(runs_dir)
    trial = RunState.replay(read_events(folder.events)).trials[number]
    network = AutoModelForCausalLM.from_pretrained(model)
    anatomy = find_anatomy(network)
    directions = load_file(folder.directions)["directions"]
    settings = folder.read_record().settings
    assert settings is not None
    method = edit_method(str(settings["edit_method"]))
    edits = EditBank(anatomy.writers, directions, method, 1 << 30).edits(trial.required_parameters)
    base = logits_of(network)
    with attached(anatomy.writers, edits):
        return logits_of(network), base


def searched(heretic: Heretic, model: Path, sets: list[str], *flags: str) -> None:
    done = heretic("run", model, *sets, "--n-trials", "2", "--seed", "5", *flags)
    assert done.status == 0, done.err


def record_of(out: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((out / "reproduce.json").read_text())
    return record
