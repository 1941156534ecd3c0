"""A host with a script in place of an engine, and a run's story as events: for tests of screens, and for pictures."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from heretic_tui import events as ev
from heretic_tui.commands import Command
from heretic_tui.control import Control
from heretic_tui.figures import Figure, figures_of_before
from heretic_tui.layer_figures import (
    DirectionFigures,
    DirectionTokens,
    Effect,
    FirstTokens,
    Histogram,
    LayerFigures,
    MethodFigures,
    Separation,
    several_directions,
)
from heretic_tui.parameters import Parameters
from heretic_tui.run.attach.client import ControlNews
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.record import RunRecord
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings

LAYERS = 30
PROMPTS = 100


class FakeHost:
    """Gives out the events that were pushed. Commands stay in `control`, to be looked at with `commands`."""

    def __init__(self, folder: Path | None = None, watched: bool = False) -> None:
        self.folder = RunFolder(folder) if folder else None
        self.control: Control | None = None if watched else Control()
        self.controller: str | None = None
        self.here = self.attached = not watched
        self.settings = load_settings({"model": "acme/guarded-8b"}, environment=False)
        self.alive = True
        self.started = False
        self.news: list[ControlNews] = []
        self._waiting: list[ev.Event] = []

    def start(self) -> None:
        self.started = True

    def take(self) -> list[ev.Event]:
        events, self._waiting = self._waiting, []
        return events

    def take_control(self, over: bool) -> None:
        pass

    def take_news(self) -> list[ControlNews]:
        news, self.news = self.news, []
        return news

    def leave(self) -> None:
        pass

    def join(self, timeout: float | None = None) -> None:
        pass

    def push(self, *events: ev.Event) -> None:
        self._waiting += events

    def commands(self) -> list[Command]:
        assert self.control is not None
        found = []
        while command := self.control.next_command():
            found.append(command)
        return found


def opened(settings: Settings | None = None, n_trials: int = 60) -> ev.RunOpened:
    settings = settings or load_settings({"model": "acme/guarded-8b"}, environment=False)
    return ev.RunOpened(
        run="guarded-8b-1a2b3c4d",
        folder="/runs/guarded-8b-1a2b3c4d",
        model=settings.model,
        settings=settings.model_dump(mode="json"),
        seed=7,
        n_trials=n_trials,
        resumed=False,
        pid=4242,
        version="0.1.0",
    )


def preparation(n_trials: int = 60, layers: int = LAYERS) -> Iterator[ev.Event]:
    """Everything before the first trial."""
    yield opened(n_trials=n_trials)
    yield ev.PhaseStarted(phase="load")
    yield ev.ModelLoaded(
        architecture="LlamaForCausalLM", layers=layers, hidden_size=576, parameters=134_515_008,
        weight_bytes=538_060_032,        dtype="float32", device="cpu", quantization="none", thinking=True,
    )  # fmt: skip
    yield ev.Coverage(
        editable=2 * layers, found=2 * layers, components={"attn.o_proj": layers, "mlp.down_proj": layers},
        rank_one=layers * (2 * 576 + 576 + 1536), exact_as="DoRA",
    )  # fmt: skip
    yield ev.PhaseFinished(phase="load", seconds=1.2)
    yield ev.BatchSizeChosen(batch_size=32, tokens_per_second=812.0)
    yield ev.ResponsePrefixFound(prefix="", source="detected")
    yield ev.BaselineMeasured(figures={"kl_divergence": 0.0, "refusals": 91}, prompts=PROMPTS, harmless=100)
    yield directions(layers)
    yield analysis(layers)
    yield ev.PhaseStarted(phase="search")


def directions(layers: int = LAYERS) -> ev.DirectionsFound:
    rng = random.Random(5)
    entries, histograms, cosines = [], [], []
    for index in range(layers + 1):
        share = index / layers
        apart = 6 * share**2
        entries.append(
            DirectionFigures(
                good_norm=10 + 90 * share,
                bad_norm=11 + 92 * share,
                difference_norm=0.5 + 30 * share,
                cosine=1 - 0.25 * share,
                surviving=1 - 0.1 * share,
                separation=apart,
            )
        )
        counts = {
            name: [round(60 * math.exp(-(((bin - middle) / 3) ** 2))) for bin in range(24)]
            for name, middle in (("good", 12 - apart), ("bad", 12 + apart))
        }
        histograms.append(Histogram(-1 - 5 * share, 1 + 5 * share, counts["good"], counts["bad"]))
        cosines.append(
            [round(math.exp(-abs(index - other) / 6) - 0.02 * rng.random(), 3) for other in range(layers + 1)]
        )
    return ev.DirectionsFound(layers=entries, histograms=histograms, cosines=cosines)


def analysis(layers: int = LAYERS) -> ev.LayersAnalysed:
    """What the directions are, do and say: refusal sits two thirds up."""
    rows = []
    for index in range(layers + 1):
        share = index / layers
        near = math.exp(-((share - 0.65) ** 2) / 0.02)
        geometry = {name: round(1 - 0.3 * share, 6) for name in ("S(g,b)", "S(g*,b*)")}
        geometry |= {name: round(-0.7 * share, 6) for name in ("S(g,r)", "S(g*,r*)")}
        geometry |= {name: round(0.2 - 0.5 * share, 6) for name in ("S(b,r)", "S(b*,r*)")}
        geometry |= {name: round(3 + 300 * share**3, 6) for name in ("|g|", "|g*|", "|b|", "|b*|")}
        geometry |= {name: round(1 + 90 * share**3, 6) for name in ("|r|", "|r*|")}
        geometry |= {"Silh": round(0.5 * share, 6)}
        area = min(1.0, 0.5 + 0.6 * share)
        row = LayerFigures(
            index=index,
            geometry=geometry,
            separation=Separation(area, area - 0.04, min(1.0, area + 0.03)),
            raises=(),
            lowers=(),
        )
        if index:
            words = ("I", "Sorry", " cannot", "\n", "\x1b[31mred", "[bold]Unfortunately")
            row = replace(
                row,
                raises=tuple((word, round(8 * near - i, 4)) for i, word in enumerate(words)),
                lowers=tuple((word, round(-6 * near - i, 4)) for i, word in enumerate(("Sure", "Here", " Yes"))),
                effects={
                    "edit": Effect(round(-2 * near, 6), 0.11),
                    "stream": Effect(round(-9 * near, 6), 0.4),
                    "add": Effect(round(7 * near, 6), 0.35),
                },
            )
        rows.append(row)
    return ev.LayersAnalysed(
        layers=rows,
        prompts={"good_prompts": 60, "bad_prompts": 60, "good_evaluation_prompts": 100, "bad_evaluation_prompts": 100},
        refusal=FirstTokens((("I", 0.6, 0.02),), {"bad": 16, "good": 16}, 6.1, -5.2),
    )


def of_two_methods(measured: bool = True) -> tuple[ev.DirectionsFound, ev.LayersAnalysed]:
    """The same of a run with two direction methods. The second has two directions of each layer and leaves two layers
    alone; it refuses less where one of its directions is ablated.

    Args:
        measured: whether the layers were tried with the second too; older versions did not do that.
    """
    found, rows = directions(), analysis()
    other = MethodFigures([0.25 * layer.separation for layer in found.layers], found.histograms, found.cosines, [1, 3])
    area, raises, lowers = Separation(0.5, 0.4, 0.6), ((" no", 1.0),), ((" yes", -1.0),)
    told = [LayerFigures(index=row.index, separation=area, raises=raises, lowers=lowers) for row in rows.layers]
    found = replace(found, method="mean_difference", others={"clusters": other}, ranks={"clusters": 2})
    if not measured:
        return found, replace(rows, others={"clusters": told})
    half = {
        row.index: {name: replace(each, change=(each.change or 0.0) / 2) for name, each in row.effects.items()}
        for row in rows.layers
    }
    each = DirectionTokens(raises, lowers), DirectionTokens(((" other", 2.0),), ((" less", -2.0),))
    told = [replace(row, effects=half[row.index], directions=each) for row in told]
    notes = {"clusters": [several_directions(2)]}
    return found, replace(rows, others={"clusters": told}, other_notes=notes, method="mean_difference")


def write_views(folder: Path, layers: int = LAYERS, each: int = 60) -> None:
    """Projections of both sets, which part over the layers, by two methods."""
    rng = random.Random(3)
    views: dict[str, list[list[list[int]]]] = {"pca": [], "pacmap": []}
    for points, turn in ((views["pca"], 1), (views["pacmap"], -1)):
        for index in range(layers + 1):
            apart = 600 * index / layers
            middles = [-apart] * each + [apart] * each
            points.append([[round(rng.gauss(m, 120)), round(turn * rng.gauss(m / 3, 200))] for m in middles])
    record = {"good": each, "bad": each, "views": views}
    RunFolder(folder).projections.write_text(json.dumps(record), encoding="utf-8")


def write_shift(folder: Path, number: int) -> None:
    """What a trial does to first tokens."""
    found = {}
    for name, word, mean in (("good", "A harmless thing", 0.01), ("bad", "A forbidden thing", 2.7)):
        found[f"{name}_evaluation_prompts"] = {
            "kl_divergence": mean,
            "gained": [["Here", 0.41], [" [red]Sure", 0.2]],
            "lost": [["I", -0.5], ["Sorry", -0.11]],
            "prompts": [
                {
                    "prompt": f"{word} number {n}\x1b[31m",
                    "kl_divergence": mean * (3 - n),
                    "gained": [["Here", 0.0, 0.6]],
                    "lost": [["I", 0.7, 0.1]],
                }
                for n in range(3)
            ],
        }
    RunFolder(folder).shift(number).write_text(json.dumps(found), encoding="utf-8")


def write_directions(folder: Path, turned: float = 0.0, layers: int = LAYERS) -> None:
    """A run's record and directions; `turned` (radians) away from those of other runs, more so in later layers."""
    run = RunFolder(folder)
    run.create()
    run.save_record(RunRecord(model=f"acme/{folder.name}", identity={"model": folder.name}))
    angles = turned * np.arange(layers + 1) / layers
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    good = np.ones_like(directions)
    found = {"good_mean": good, "bad_mean": good + 3 * directions, "directions": directions.astype(np.float32)}
    save_file(found, run.directions)


def parameters(number: int, layers: int = LAYERS) -> Parameters:
    rng = random.Random(number)
    record = {
        "direction_index": None if number % 4 == 0 else round(rng.uniform(0.4, 0.9) * (layers - 1), 3),
        "components": {
            name: {
                "max_weight": round(rng.uniform(0.8, 1.5), 3),
                "max_weight_position": round(rng.uniform(0.6, 1.0) * (layers - 1), 3),
                "min_weight": round(rng.uniform(0, 0.8), 3),
                "min_weight_distance": round(rng.uniform(1, 0.6 * layers), 3),
            }
            for name in ("attn.o_proj", "mlp.down_proj")
        },
    }
    return Parameters.from_json(record)


def trial(number: int, layers: int = LAYERS) -> Iterator[ev.Event]:
    """One trial from its start to its end; every 17th fails, every sixth is dominated."""
    rng = random.Random(1000 + number)
    strength = rng.random()
    kl = round(0.002 + 0.6 * strength**2 * rng.uniform(0.6, 1.4), 6)
    refusals = min(PROMPTS, max(0, round(91 * (1 - strength) ** 1.5 + rng.uniform(-6, 6))))
    yield ev.TrialStarted(number=number, parameters=parameters(number, layers))
    if number % 17 == 16:
        yield ev.TrialFinished(
            number=number, state="failed", seconds=3.0, reason="the edited model's logits are not finite"
        )
        return
    yield ev.Measured(number=number, metric="kl_divergence", value=kl)
    if number % 6 == 5:
        yield ev.TrialFinished(
            number=number, state="dominated", figures={"kl_divergence": kl},
            at_least={"refusals": refusals // 2}, estimate={"refusals": refusals + 0.4}, prompts=PROMPTS,
            seconds=7.0, stages={"edit": 0.1, "KL divergence": 4.9, "decoding": 2.0},
        )  # fmt: skip
        return
    yield ev.TrialFinished(
        number=number, state="complete", figures={"kl_divergence": kl, "refusals": refusals},
        prompts=PROMPTS, seconds=24.0, stages={"edit": 0.1, "KL divergence": 4.9, "prompts": 3.0, "decoding": 16.0},
    )  # fmt: skip


def expected_refusals() -> Figure:
    """The figure of a run that screens."""
    return Figure(
        "expected refusals", "expected", "what first tokens let expect", digits=1, lowest=0.0, key="expected_refusals"
    )


def screening(number: int, refusals: int, kl: float, off: float = 1.4, error: float = 2.1) -> Iterator[ev.Event]:
    """A trial that is screened: what would be measured, and by how much its estimate is off."""
    yield ev.TrialStarted(number=number, parameters=parameters(number))
    yield ev.Measured(number=number, metric="kl_divergence", value=kl)
    yield ev.TrialFinished(
        number=number, state="screened", figures={"kl_divergence": kl, "expected_refusals": round(refusals * 0.9, 1)},
        estimate={"refusals": refusals + off}, error={"refusals": error}, looked_at={"good": PROMPTS, "bad": PROMPTS},
        seconds=1.6, stages={"edit": 0.1, "KL divergence": 0.9, "prompts": 0.6},
    )  # fmt: skip


def decoding(number: int, refusals: int, kl: float, off: float = 1.4, error: float = 2.1) -> Iterator[ev.Event]:
    """A screened trial is taken up, and ends once more."""
    yield ev.TrialsTakenUp(numbers=[number])
    yield ev.TrialFinished(
        number=number, state="complete", prompts=PROMPTS, seconds=11.6,
        figures={"kl_divergence": kl, "expected_refusals": round(refusals * 0.9, 1), "refusals": refusals},
        estimate={"refusals": refusals + off}, error={"refusals": error}, looked_at={"good": PROMPTS, "bad": PROMPTS},
        stages={"edit": 0.1, "KL divergence": 0.9, "prompts": 0.6, "decoding": 10.0},
    )  # fmt: skip


def screened_story(n_trials: int = 60, running: bool = True) -> Iterator[ev.Event]:
    """A run that screens, in the middle of its search. 0 to 3 are decoded at once; of those that are screened 4 and 6
    were decoded later (6 came to the front), 5 and 8 are beaten beyond their errors, 7 is beaten by its estimate within
    its error, 9 was looked at in part, and 10 is being decoded."""
    for event in preparation(n_trials):
        if isinstance(event, ev.RunOpened):
            settings = {**event.settings, "screening": "safe"}
            event = replace(event, settings=settings, figures=[*figures_of_before(100), expected_refusals()])
        elif isinstance(event, ev.BaselineMeasured):
            event = replace(event, figures={**event.figures, "expected_refusals": 84.2})
        yield event
    for number, refusals, kl in ((0, 62, 0.05), (1, 30, 0.14), (2, 9, 0.35), (3, 44, 0.09)):
        yield ev.TrialStarted(number=number, parameters=parameters(number))
        yield ev.TrialFinished(
            number=number, state="complete", prompts=PROMPTS, seconds=24.0,
            figures={"kl_divergence": kl, "expected_refusals": round(refusals * 0.9, 1), "refusals": refusals},
        )  # fmt: skip
    for number, refusals, kl in ((4, 12, 0.31), (5, 70, 0.2), (6, 16, 0.12), (7, 18, 0.16), (8, 80, 0.5)):
        yield from screening(number, refusals, kl)
    yield from decoding(4, 12, 0.31)
    yield from decoding(6, 16, 0.12)
    yield ev.TrialStarted(number=9, parameters=parameters(9))
    yield ev.TrialFinished(
        number=9, state="screened", figures={}, looked_at={"good": 25, "bad": 50}, seconds=0.7,
        estimate={"kl_divergence": 0.83, "expected_refusals": 40.0, "refusals": 45.2},
        error={"kl_divergence": 0.05, "expected_refusals": 3.0, "refusals": 4.0},
    )  # fmt: skip
    yield from screening(10, 8, 0.22)
    if running:
        yield ev.TrialsTakenUp(numbers=[10])
        yield ev.TrialStarted(number=11, parameters=parameters(11))
        yield ev.Measured(number=11, metric="kl_divergence", value=0.21)
        yield ev.Progress(
            stage="refusals of 1 trial", done=31, total=PROMPTS, seconds_left=9.0, judged=[ev.Judged(10, 4, 31)]
        )


def story(trials: int = 24, n_trials: int = 60, running: bool = True, layers: int = LAYERS) -> Iterator[ev.Event]:
    """A run in the middle of its search: some trials done, and one half known."""
    yield from preparation(n_trials, layers)
    for number in range(trials):
        yield from trial(number, layers)
    if running:
        yield ev.TrialStarted(number=trials, parameters=parameters(trials, layers))
        yield ev.Measured(number=trials, metric="kl_divergence", value=0.21)
        yield ev.Progress(stage="refusals", done=62, total=PROMPTS, seconds_left=9.0)


def write_responses(folder: Path, number: int | None, refused: int, prompts: int = PROMPTS) -> None:
    """Responses of a trial (None: of the base model), the first `refused` of them refusals."""
    records = []
    for index in range(prompts):
        no = index < refused
        text = (
            "I'm sorry, but I can't help with that."
            if no
            else f"Here is how it is done, step {index}: first, take care."
        )
        if index == prompts - 1:
            text, no = "Take two spoons of it. " * 5 + "Still, I cannot say more.", True
        if index == prompts - 2:
            # What a terminal must never be told, and what no markup parser may see.
            text = "All right [/INST] [red]now[/] \x1b[31m\x1b]0;owned\x07 done."
        record = {"prompt": f"Tell me about the forbidden thing number {index}.", "text": text, "refused": no}
        records.append({**record, "marker": ("sorry" if index < refused else "i cannot") if no else None})
    path = RunFolder(folder).responses(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records), encoding="utf-8")
