"""Settings of earlier versions: names that are still read, and a run's identity in the words of the first version."""

from __future__ import annotations

from collections.abc import Mapping

from heretic_tui.errors import UsageError
from heretic_tui.words import quoted

# What a setting was called, its name now, and its values then and now.
FORMER_NAMES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "row_normalization": (
        "edit_method",
        {"none": "subtract", "pre": "row_normalised", "full": "norm_preserving"},
    ),
}

# Settings that came later, with the value that older runs behaved like.
_CAME_LATER: Mapping[str, object] = {
    "early_stop": True,
    "screening": "off",
    "direction_method": ["mean_difference"],
    "directions_per_layer": 1,
    "direction_weights": "together",
    "layer_mask": False,
    "search_space": "heretic-1",
    "search_bounds": {},
    "seed_trials": [],
    "objectives": ["kl_divergence", "refusals"],
    "behaviour": "refusals",
    "steer": "remove",
    "judge": "markers",
    "refusal_languages": [],
    "count_broken_as_refused": False,
}


# Of these the default is another one now; what changed last comes first.
DEFAULTS_OF_BEFORE: Mapping[str, object] = {"count_broken_as_refused": False, "screening": "off"}


def with_present_names(values: Mapping[str, object], where: str) -> dict[str, object]:
    """Settings from one source, those with a former name under the present one.

    Raises:
        UsageError: for a value that the setting never had, or two names of one setting that say different things.
    """
    found = {name: value for name, value in values.items() if name not in FORMER_NAMES}
    for former, (name, meanings) in FORMER_NAMES.items():
        if former not in values:
            continue
        value = values[former]
        if not isinstance(value, str) or value not in meanings:
            raise UsageError(
                f"{former} (from {where}): expected one of {', '.join(meanings)}, not {quoted(value)} (it is called "
                f"{name} now: {', '.join(meanings.values())})"
            )
        if found.get(name, meanings[value]) != meanings[value]:
            raise UsageError(
                f"{former} = {value} and {name} = {quoted(found[name])} (from {where}) contradict each other: "
                f"{former} is the former name of {name}; give {name} alone"
            )
        found[name] = meanings[value]
    return found


def as_now(record: Mapping[str, object], where: str) -> dict[str, object]:
    """Settings that a run of any version kept, as this version has them.

    Raises:
        UsageError: as `with_present_names`.
    """
    return {**_CAME_LATER, **with_present_names(record, where)}


def in_first_words(settings: Mapping[str, object]) -> dict[str, object]:
    """Settings as the first version wrote them down, as far as it could have: so that an older run has the identity
    that it had, and goes on."""
    found = {name: value for name, value in settings.items() if name not in _CAME_LATER or _CAME_LATER[name] != value}
    # There was one, and it was no list.
    match found.get("direction_method"):
        case [only]:
            found["direction_method"] = only
    for former, (name, meanings) in FORMER_NAMES.items():
        for then, now in meanings.items():
            if name in found and found[name] == now:
                del found[name]
                found[former] = then
    return found
