"""A setting in words: its group, its choices, its range, its default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from heretic_tui.settings.schema import DEFAULT_SETS, PromptSet, Settings

# The command line


def every_setting() -> Iterator[tuple[str, str | None, FieldInfo]]:
    """Every setting and every part of a set: field, part, and what is known of it."""
    for name, field in Settings.model_fields.items():
        yield name, None, field
        if name in DEFAULT_SETS:
            for part, inner in PromptSet.model_fields.items():
                if part != "dataset":
                    yield name, part, inner


def group_of(field: FieldInfo) -> str:
    """The group that a setting is shown in."""
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["group"])


def takes_words(field: FieldInfo) -> bool:
    return any(get_origin(kind) in (list, dict) for kind in (field.annotation, *get_args(field.annotation)))


def metavar(name: str, part: str | None, field: FieldInfo) -> str:
    if name in DEFAULT_SETS and part is None:
        return "SET"
    kinds = (field.annotation, *get_args(field.annotation))
    return "N" if int in kinds else "X" if float in kinds else (part or name).rsplit("_", 1)[-1].upper()


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    kind = field.annotation
    inner = get_args(kind)[0] if get_origin(kind) is list else kind
    return get_args(inner) if get_origin(inner) is Literal else ()


def words_of(field: FieldInfo) -> str:
    """The choices or the range that a setting has, in brackets."""
    words = ", ".join(choices_of(field)) or range_words(field)
    return f" ({words})" if words else ""


def range_words(field: FieldInfo) -> str:
    signs = {"ge": "from {:,}", "gt": "above {:,}", "le": "to {:,}", "lt": "below {:,}"}
    words = []
    for rule in field.metadata:
        for key in signs:
            limit = getattr(rule, key, None)
            if key == "lt" and isinstance(limit, int):
                words.append(signs["le"].format(limit - 1))
            elif limit is not None:
                words.append(signs[key].format(limit))
    return " ".join(words)


def default_words(name: str, part: str | None, field: FieldInfo) -> str:
    default = getattr(DEFAULT_SETS[name], part) if part else field.get_default(call_default_factory=True)
    if isinstance(default, PromptSet):
        default = default.dataset
    if default is None or default == "":
        return ""
    if isinstance(default, list):
        shown = " ".join("=>".join(item) if isinstance(item, tuple) else repr(item) for item in default)
        return f" [{shown}]" if len(shown) < 60 else f" [{len(default)} of them; `heretic-tui config` lists them]"
    return f" [{default}]"
