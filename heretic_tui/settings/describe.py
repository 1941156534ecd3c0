"""A setting in words: its group, what it takes, its range, its default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from heretic_tui.bounds import SPACES
from heretic_tui.figures import EXPECTED_REFUSALS
from heretic_tui.plugins import names
from heretic_tui.settings.prompt_sets import DEFAULT_SETS, PromptSet
from heretic_tui.settings.schema import Settings, kinds_of, method_kind

# What the type of these does not tell.
_FORMS = {
    "max_memory": "DEVICE=AMOUNT for each device, such as 0=20GiB cpu=60GiB",
    "chain_of_thought_skips": "OPENER=>BLOCK for each kind of thinking",
    "max_shard_size": "a number and a unit, such as 5GB or 500MB",
    "runs_dir": "a folder",
    "workers": "a number up to 999, or auto",
    "on_top_of": "RUN:TRIAL, such as demo-1f2e3d4c:11",
    "search_space": f"{', '.join(SPACES)}, or a TOML file",
    "search_bounds": "NAME=LOW..HIGH for each bound, such as mixer_max_weight=0.5..3",
    "review_tasks": "quick, standard or the name of a task, or one of them with =ITEMS, for each",
    "review_classifier_labels": "LABEL=refused, evaded, answered or nonsense for each label",
    **dict.fromkeys(DEFAULT_SETS, "a data set or file, or a table of dataset, split, column and so on"),
}

# How many of its choices a setting takes, where that is neither one nor any number.
_NUMBERS = {"objectives": "two"}

# Longer defaults are not written out.
_LONGEST_DEFAULT = 60


@dataclass(frozen=True)
class Setting:
    """One setting, or one part of a prompt set.

    Attributes:
        name: the field of `Settings`.
        part: the field of `PromptSet`; None for the setting itself.
    """

    name: str
    part: str | None = None

    @property
    def key(self) -> str:
        """How files and messages name it: `n_trials`, `good_prompts.split`."""
        return self.name if self.part is None else f"{self.name}.{self.part}"

    @property
    def flag(self) -> str:
        """How the command line names it: `--n-trials`, `--good-prompts.split`."""
        return "--" + self.key.replace("_", "-")

    @property
    def field(self) -> FieldInfo:
        return PromptSet.model_fields[self.part] if self.part else Settings.model_fields[self.name]

    @property
    def group(self) -> str:
        """The heading that it is shown under."""
        extra = Settings.model_fields[self.name].json_schema_extra
        assert isinstance(extra, dict)
        return str(extra["group"])

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return self.field.annotation is bool

    @property
    def takes_several(self) -> bool:
        """Whether it is a list or a table of values."""
        kinds = (self.field.annotation, *get_args(self.field.annotation))
        return any(get_origin(kind) in (list, dict) for kind in kinds)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it can have, or each of its values; empty where it is free."""
        if methods := method_kind(self.field):
            known = names(methods)
            # Not every model has it, so that the search cannot rest on it.
            return tuple(each for each in known if self.name != "objectives" or each != EXPECTED_REFUSALS)
        kind = self.field.annotation
        inner = get_args(kind)[0] if get_origin(kind) is list else kind
        return get_args(inner) if get_origin(inner) is Literal else ()

    @property
    def range(self) -> str:
        """`from 1 to 4,096`, or nothing where there are no limits."""
        signs = {"ge": "from {:,}", "gt": "above {:,}", "le": "to {:,}", "lt": "below {:,}"}
        words = []
        for rule in self.field.metadata:
            for key in signs:
                limit = getattr(rule, key, None)
                if key == "lt" and isinstance(limit, int):
                    words.append(signs["le"].format(limit - 1))
                elif limit is not None:
                    words.append(signs[key].format(limit))
        return " ".join(words)

    @property
    def metavar(self) -> str:
        """The word for its value in a usage: N, X, SET, or a word of its name."""
        if self.name in DEFAULT_SETS and self.part is None:
            return "SET"
        if self.name == "on_top_of":
            return "RUN:TRIAL"
        kinds = (self.field.annotation, *get_args(self.field.annotation))
        word = (self.part or self.name).rsplit("_", 1)[-1].upper()
        return "N" if int in kinds else "X" if float in kinds else word

    @property
    def description(self) -> str:
        """What it is for, with its choices or its range."""
        words = ", ".join(self.choices) or self.range
        return f"{self.field.description} ({words})" if words else str(self.field.description)

    @property
    def default(self) -> str:
        """Its built-in default in brackets, after a space; empty where that is unset or an empty text."""
        if self.part:
            value = getattr(DEFAULT_SETS[self.name], self.part)
        else:
            value = self.field.get_default(call_default_factory=True)
        if isinstance(value, PromptSet):
            value = value.dataset
        if value in (None, "", [], {}):
            return ""
        if isinstance(value, list):
            shown = " ".join("=>".join(item) if isinstance(item, tuple) else repr(item) for item in value)
            if len(shown) >= _LONGEST_DEFAULT:
                return f" [{len(value)} of them; `heretic-tui config` lists them]"
            return f" [{shown}]"
        return f" [{value}]"

    @property
    def expected(self) -> str:
        """What it takes, as it follows "expected"."""
        if self.key in _FORMS:
            return _FORMS[self.key]
        kinds = kinds_of(self.field)
        if self.choices:
            how_many = _NUMBERS.get(self.key, "one or more" if list in kinds else "one")
            return f"{how_many} of {', '.join(self.choices)}"
        if list in kinds:
            return "one or more texts"
        if bool in kinds:
            return "true or false"
        if number := {int, float} & kinds:
            words = "a whole number" if int in number else "a number"
            return f"{words} {self.range}" if self.range else words
        return "text"


def every_setting() -> Iterator[Setting]:
    """Every setting, each prompt set followed by its parts. (A set by itself is its dataset.)"""
    for name in Settings.model_fields:
        yield Setting(name)
        if name in DEFAULT_SETS:
            yield from (Setting(name, part) for part in PromptSet.model_fields if part != "dataset")
