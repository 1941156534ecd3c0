"""Events read back from their records: each record is checked, and what older versions wrote otherwise is read too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from heretic_tui.events import KINDS, BaselineMeasured, Event, Measured, TrialFinished, TrialStarted
from heretic_tui.figures import Figure, figures_of_before, values_of_before
from heretic_tui.records import Misfit, read_object

# A second that every calendar can name.
_LATEST = 1e11


def read_event(
    record: Mapping[str, object], past: bool = False, figures: Sequence[Figure] | None = None
) -> Event | None:
    """The event of a record, or None for a kind this version does not know. Unknown fields are dropped,
    so that a newer program's journal can still be read, and fields that an older one did not write have their defaults.

    Args:
        figures: those of the run that it belongs to, the two objectives first; None: those of older versions.

    Raises:
        ValueError: for a record of a known kind that lacks a field, or has one that cannot be.
    """
    kind = record.get("type")
    if not isinstance(kind, str):
        raise ValueError("no event: it has no 'type'")
    cls = KINDS.get(kind)
    if cls is None:
        return None
    if kind in _OLDER:
        record = _OLDER[kind](record)
    try:
        event = read_object(cls, record, time=0.0, past=past)
    except Misfit as misfit:
        if misfit.missing:
            raise ValueError(f"{kind} has no {misfit.place!r}") from None
        raise ValueError(f"{misfit.place!r} of {kind} cannot be {misfit.value!r:.40}") from None
    if not 0 <= event.time < _LATEST:
        raise ValueError(f"'time' of {kind} cannot be {event.time!r:.40}")
    problem = event.problem()
    if isinstance(event, TrialFinished):
        problem = problem or event.impossible(figures or figures_of_before())
    if problem:
        raise ValueError(f"{kind}: {problem}")
    return event


# What versions wrote whose trials had no other figures than KL divergence and refusals, each in a field of its own


def _baseline_of_before(record: Mapping[str, object]) -> Mapping[str, object]:
    if "refusals" not in record:
        return record
    return {**record, "figures": {"kl_divergence": 0.0, "refusals": record["refusals"]}}


def _trial_of_before(record: Mapping[str, object]) -> Mapping[str, object]:
    found = {**record}
    if "figures" not in record:
        found["figures"] = values_of_before(record, "kl_divergence", "refusals")
    for name in ("at_least", "estimate"):
        if not isinstance(record.get(name, {}), dict):
            found[name] = {} if record[name] is None else {"refusals": record[name]}
    return found


def _started_of_before(record: Mapping[str, object]) -> Mapping[str, object]:
    parameters = record.get("parameters")
    known = not isinstance(parameters, dict) or parameters.get("components")
    return record if known else {**record, "parameters": None}


def _measured_of_before(record: Mapping[str, object]) -> Mapping[str, object]:
    return {**record, "metric": "kl_divergence"} if record.get("metric") == "KL divergence" else record


_OLDER: dict[str, Callable[[Mapping[str, object]], Mapping[str, object]]] = {
    BaselineMeasured.type: _baseline_of_before,
    Measured.type: _measured_of_before,
    TrialFinished.type: _trial_of_before,
    TrialStarted.type: _started_of_before,
}
