"""What `runs` and `show` tell of a run folder, without the model: from its record and its journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from heretic_tui.bounds import space_words
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.events import BaselineMeasured, Compared, StartMeasured
from heretic_tui.figures import REFUSALS, Figure
from heretic_tui.plugins import CHECKS, names
from heretic_tui.records import as_json
from heretic_tui.run.annotations import Annotations, read_annotations
from heretic_tui.run.corrections import correct
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.plan import plan_of
from heretic_tui.run.pressed import Pressed, pressed_in
from heretic_tui.run.review_rulings import people_review
from heretic_tui.run.reviews import Review
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import Correction, TrialRecord
from heretic_tui.words import without_passwords


@dataclass(frozen=True, kw_only=True)
class RunOverview:
    """One run in a few figures.

    Attributes:
        state: a word, with the process that is at work on the run; "damaged" where its files cannot be read.
        trials, planned: how many have an end, and how many are to have one; None where nothing is known.
        decoded: how many of those with an end were decoded; None where no trial of the run is screened.
        figures: those of its trials, the two objectives first.
        base: the unedited model; None where it has not been measured yet.
        best: the two ends of the front.
        annotations: what people say of the trials; where they overruled verdicts, the figures and the front are as they
            have it.
        problem: why the files cannot be read; there are no figures then.
    """

    folder: RunFolder
    state: str
    model: str | None = None
    trials: int | None = None
    planned: int | None = None
    decoded: int | None = None
    figures: tuple[Figure, ...] = ()
    base: BaselineMeasured | None = None
    best: tuple[TrialRecord, ...] = ()
    annotations: Annotations = field(default_factory=Annotations)
    problem: str | None = None

    def to_json(self) -> dict[str, object]:
        """What `runs --json` promises."""
        record: dict[str, object] = {
            "run": self.folder.name,
            "model": self.model,
            "state": self.state,
            "trials": self.trials,
            "n_trials": self.planned,
            "decoded": self.decoded,
            "figures": None if self.problem else as_json(self.figures),
            "base": _base(self.base),
            "best": [{"number": trial.number, "figures": trial.figures} for trial in self.best],
            "marks": self.annotations.marks,
            "tags": {str(trial): list(self.annotations.tags(trial)) for trial in self.annotations.trials},
            "notes": {str(trial): self.annotations.note(trial) for trial in self.annotations.trials},
            "overruled": self.annotations.overruled,
        }
        return {**record, "problem": self.problem} if self.problem else record


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """Everything that `show` tells of a run.

    Attributes:
        figures: those of its trials, the two objectives first.
        settings: as they were recorded, without passwords; None where they are not known.
        trials: in order of their numbers.
        front: numbers of those on the front.
        annotations: what people say of the trials; where they overruled verdicts, the figures and the front are as they
            have it.
        base_correction: how their verdicts changed the figures of the base model; None where they did not.
        review: what reviews of its finalists found.
        plan: what was planned beside what came of it; empty for runs of versions that made no plan.
        space: what is searched, in words.
        pressed: the bounds of that which trials on the front press against.
    """

    run: str
    model: str | None
    settings: Mapping[str, object] | None
    seed: int | None
    figures: tuple[Figure, ...]
    base: BaselineMeasured | None
    trials: tuple[TrialRecord, ...]
    front: frozenset[int]
    annotations: Annotations
    base_correction: Correction | None
    review: Review
    plan: tuple[Compared, ...] = ()
    space: str = ""
    pressed: tuple[Pressed, ...] = ()
    start: StartMeasured | None = None

    def to_json(self) -> dict[str, object]:
        """What `show --json` promises."""
        return {
            "run": self.run,
            "model": self.model,
            "settings": self.settings,
            "seed": self.seed,
            "figures": as_json(self.figures),
            "base": _base(self.base),
            "base_overruled": as_json(self.base_correction),
            "trials": [
                {
                    "number": trial.number,
                    "state": trial.state,
                    "figures": trial.figures,
                    "at_least": trial.at_least,
                    "estimate": trial.estimate,
                    "error": trial.error,
                    "looked_at": trial.looked_at,
                    "front": trial.number in self.front,
                    "by_hand": trial.by_hand,
                    "origin": trial.origin or None,
                    "seconds": trial.seconds,
                    "direction_index": trial.parameters.direction_index if trial.parameters else None,
                    "direction_method": trial.parameters.direction_method if trial.parameters else None,
                    "components": as_json(trial.parameters.components) if trial.parameters else {},
                    "reason": trial.reason,
                    "marked": self.annotations.marked(trial.number),
                    "tags": list(self.annotations.tags(trial.number)),
                    "note": self.annotations.note(trial.number),
                    "overruled": _overruled(trial),
                }
                for trial in self.trials
            ],
            "review": self.review.to_json(),
            "plan": [as_json(row) for row in self.plan],
            "space": self.space,
            "bounds": [as_json(each) for each in self.pressed],
            **({} if (start := self.start) is None else {"on_top_of": _start(start)}),
        }


def _start(start: StartMeasured) -> dict[str, object]:
    return {"edit": start.edit, "figures": start.figures, "prompts": start.prompts}


def _base(base: BaselineMeasured | None) -> dict[str, object] | None:
    return {"figures": base.figures, "prompts": base.prompts} if base else None


def _overruled(trial: TrialRecord) -> dict[str, object] | None:
    """How people's verdicts changed the figures, and what was measured; None where they did not."""
    correction = trial.correction
    if correction is None:
        return None
    return {"verdicts": correction.overruled, "broken": correction.broken, "measured": trial.as_measured(REFUSALS)}


def overview(folder: RunFolder) -> RunOverview:
    """One run in a few figures, from its record and its journal."""
    try:
        state, model = RunState.replay(read_events(folder.events)), folder.read_record().model
    except HereticError as error:
        return RunOverview(folder=folder, state="damaged", problem=str(error))
    annotations = read_annotations(folder)
    correct(state, folder, annotations)
    return overview_of(folder, state, model, annotations, folder.holder())


def overview_of(
    folder: RunFolder, state: RunState, model: str | None, annotations: Annotations, holder: int | None
) -> RunOverview:
    """The same, of a state that has been read, with people's verdicts counted.

    Args:
        holder: the process at work on the run; None where none is.
    """
    front = state.front()
    return RunOverview(
        folder=folder,
        model=model,
        state=f"{state.word(True)} ({holder})" if holder else state.outcome or "stopped",
        trials=state.finished,
        planned=state.n_trials,
        decoded=state.decoded if state.screens else None,
        figures=state.figures,
        base=state.base,
        best=(front[0], front[-1]) if len(front) > 1 else tuple(front),
        annotations=annotations,
    )


def details(folder: RunFolder) -> RunDetails:
    """Everything about one run."""
    state, annotations = RunState.replay(read_events(folder.events)), read_annotations(folder)
    correct(state, folder, annotations)
    trials = [trial for _, trial in sorted(state.trials.items())]
    if folder.holder() is None:
        trials = [replace(trial, state="stopped") if trial.state == "running" else trial for trial in trials]
    record = folder.read_record()
    return RunDetails(
        run=folder.name,
        model=record.model,
        settings=_without_passwords(record.settings),
        seed=record.seed,
        figures=state.figures,
        base=state.base,
        trials=tuple(trials),
        front=frozenset(trial.number for trial in state.front()),
        annotations=annotations,
        base_correction=state.base_correction,
        review=people_review(folder.review, names(CHECKS), annotations, state.counts_broken),
        plan=tuple(plan_of(folder)),
        space=space_words(record.settings or {}),
        pressed=pressed_in(state),
        start=state.start,
    )


def _without_passwords(settings: Mapping[str, object] | None) -> Mapping[str, object] | None:
    """Settings as they may be shown: runs of older versions hold the storage's URL with its password."""
    storage = (settings or {}).get("storage")
    return {**settings, "storage": without_passwords(storage)} if settings and isinstance(storage, str) else settings


def complete_trial(folder: RunFolder, number: int) -> tuple[RunState, TrialRecord]:
    """A trial that was measured in full, and the run's state, by the judge's verdicts alone.

    Raises:
        UsageError: when there is no such trial.
    """
    state = RunState.replay(read_events(folder.events))
    trial = state.trials.get(number)
    if trial is None or trial.state != "complete":
        front = ", ".join(str(t.number) for t in state.front()) or "none yet"
        things, words = state.behaviour.things, "has not been measured to its end"
        if trial is None:
            words = "does not exist"
        elif trial.state == "screened":
            words = f"was screened, not decoded: its {things} are an estimate (d on Trials in the dashboard decodes it)"
        elif trial.state == "dominated":
            words = f"was cut short: its {things} are an estimate"
        elif trial.state == "failed":
            words = "failed"
        raise UsageError(f"trial {number} of {folder.name} {words}; on the front are: {front}")
    return state, trial
