"""Trials that a search begins with: parameters from files, from the front of another run, from exports and model cards.

What the setting `seed_trials` names is read when a run begins, and kept in its folder: it stays what it was then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from heretic_tui.errors import UsageError
from heretic_tui.files import parse_json, read_bytes, read_json, user_path, write_json
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.exports import read_export
from heretic_tui.run.folder import RunFolder, find_run
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from heretic_tui.words import quoted

BUILT_IN = "built-in"
_RUN = "run:"
# More are no beginning of a search.
_MOST = 200
_KERNEL = tuple(name for name in Kernel.__dataclass_fields__ if name != "shares")
# A line of a table in Markdown with two cells.
_ROW = re.compile(r"\s*\|([^|]*)\|([^|]*)\|\s*")
_BLOCK = re.compile(r"^## Parameters\s+```json\n(.*?)\n```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Seed:
    """
    Attributes:
        origin: what it is from, as people see it: a file's name without its folder, a run and its trial.
        parameters: None for those that are built in, which depend on what is searched.
        layers: how many the model has that they are from; None where that is not known.
    """

    origin: str
    parameters: Parameters | None = None
    layers: int | None = None

    def to_json(self) -> dict[str, object]:
        parameters = self.parameters.to_json() if self.parameters else None
        return {"origin": self.origin, "parameters": parameters, "layers": self.layers}


def whole_names(named: Sequence[str]) -> list[str]:
    """What the setting names, files and folders by their absolute paths: so that a run finds them from any folder, and
    is the same run from each."""
    return [text if text == BUILT_IN or text.startswith(_RUN) else os.path.abspath(user_path(text)) for text in named]


def seeds_of_run(folder: RunFolder, named: Sequence[str], runs_dir: Path) -> list[Seed]:
    """The trials that a run begins with: those that its folder holds, where it has begun, else what is named now.

    Raises:
        UsageError: what is named cannot be read, or the folder's file is damaged.
    """
    if not named:
        return []
    return _kept(folder.seed_trials) if folder.seed_trials.is_file() else read_seeds(named, runs_dir)


def keep_seeds(folder: RunFolder, seeds: Sequence[Seed]) -> None:
    """Write them to the run's folder, unless it holds them.

    Raises:
        HereticError: when it cannot be written to.
    """
    if seeds and not folder.seed_trials.is_file():
        write_json(folder.seed_trials, [seed.to_json() for seed in seeds])


def read_seeds(named: Sequence[str], runs_dir: Path) -> list[Seed]:
    """What the setting names, in its order.

    Raises:
        UsageError: where something of it cannot be read or holds no parameters, in one line.
    """
    found = [seed for text in named for seed in _named(text, runs_dir)]
    if len(found) > _MOST:
        raise UsageError(f"seed_trials: {len(found)} trials are more than the {_MOST} that a search may begin with")
    return found


def _named(text: str, runs_dir: Path) -> list[Seed]:
    if text == BUILT_IN:
        return [Seed(BUILT_IN)]
    if text.startswith(_RUN):
        return _front(find_run(runs_dir, text.removeprefix(_RUN)))
    path = user_path(text)
    if path.is_dir():
        if (path / "run.json").is_file():
            return _front(RunFolder(path.resolve()))
        there = next((path / name for name in ("reproduce.json", "README.md") if (path / name).is_file()), None)
        if there is None:
            raise UsageError(f"seed_trials: {text} holds no run.json, reproduce.json or README.md")
        return _in_file(there, f"{path.resolve().name}/{there.name}")
    if not path.is_file():
        raise UsageError(
            f"seed_trials: {text}: no such file (name an edit file, run:NAME, an export or its folder, a model card, "
            f"or {BUILT_IN})"
        )
    return _in_file(path, path.name)


def _front(folder: RunFolder) -> list[Seed]:
    """The trials on the front of a run, by their numbers."""
    state = RunState.replay(read_events(folder.events))
    layers = state.model.layers if state.model else None
    front = sorted((trial for trial in state.front() if trial.parameters), key=lambda trial: trial.number)
    if not front:
        raise UsageError(f"seed_trials: run {folder.name} has no trial on its front")
    return [Seed(f"{folder.name}, trial {trial.number}", trial.parameters, layers) for trial in front]


def _in_file(path: Path, origin: str) -> list[Seed]:
    if path.suffix.lower() in (".md", ".markdown"):
        return [Seed(origin, card_parameters(read_bytes(path).decode("utf-8", "replace"), str(path)))]
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise UsageError(f"seed_trials: cannot read {path}: {error.strerror}") from error
    if isinstance(content, dict) and {"format", "settings", "parameters"} <= content.keys():
        return [Seed(origin, _parameters(read_export(path).parameters, str(path)))]
    if isinstance(content, list) and content:
        several = [_parameters(each, f"{path}: number {place + 1}") for place, each in enumerate(content)]
        return [Seed(f"{origin}, number {place + 1}", each) for place, each in enumerate(several)]
    return [Seed(origin, _parameters(content, str(path)))]


def card_parameters(text: str, where: str) -> Parameters:
    """The parameters of a published model card: those of ours as JSON, those of heretic as a table of
    `direction_index` and `COMPONENT.max_weight` and so on, in whatever emphasis. Of anything else in it nothing is
    read.

    Raises:
        UsageError: where there are none, or they are not whole.
    """
    if block := _BLOCK.search(text):
        return _parameters(parse_json(block[1], where), where)
    cells: dict[str, str] = {}
    for line in text.splitlines():
        if row := _ROW.fullmatch(line):
            name, value = (cell.strip().strip("*`_ ") for cell in row.groups())
            if name == "direction_index" or name.rpartition(".")[2] in _KERNEL:
                # Of two tables the first is meant.
                cells.setdefault(name, value)
    if "direction_index" not in cells or len(cells) == 1:
        raise UsageError(f"{where}: no table with direction_index and COMPONENT.max_weight, and no parameters as JSON")
    index = cells.pop("direction_index")
    components: dict[str, dict[str, object]] = {}
    for name, value in cells.items():
        component, _, part = name.rpartition(".")
        components.setdefault(component, {})[part] = _number(value, f"{where}: {name}")
    per_layer = index.lower().replace("_", " ") in ("per layer", "none", "null", "-")
    record: Mapping[str, object] = {
        "direction_index": None if per_layer else _number(index, f"{where}: direction_index"),
        "components": components,
    }
    return Parameters.from_json(record, where)


def _parameters(content: object, where: str) -> Parameters:
    """
    Raises:
        UsageError: when they are none.
    """
    if not isinstance(content, dict):
        raise UsageError(f"{where}: expected the parameters of an edit, not {quoted(content)}")
    return Parameters.from_json(content, where)


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{where}: expected a number, not {quoted(text)}") from None


def _kept(path: Path) -> list[Seed]:
    """What `keep_seeds` wrote.

    Raises:
        UsageError: when it is damaged.
    """
    content = read_json(path)
    seeds = []
    for each in content if isinstance(content, list) else [None]:
        layers = each.get("layers") if isinstance(each, dict) else None
        known = layers is None or (isinstance(layers, int) and not isinstance(layers, bool) and layers > 0)
        if not isinstance(each, dict) or not isinstance(each.get("origin"), str) or not known:
            raise UsageError(f"{path} is damaged: put back a copy, or delete the run folder")
        given = each.get("parameters")
        parameters = None if given is None else _parameters(given, str(path))
        seeds.append(Seed(each["origin"], parameters, layers))
    return seeds
