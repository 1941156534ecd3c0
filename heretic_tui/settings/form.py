"""Settings in the making: what a person typed so far, checked as they type, and the command line that says the same."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heretic_tui.errors import UsageError
from heretic_tui.settings.describe import every_setting, group_of, words_of
from heretic_tui.settings.schema import PromptSet, Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.settings.toml import toml_value
from heretic_tui.words import without_passwords


@dataclass(frozen=True)
class Entry:
    """One setting, or one part of a prompt set, as a form shows it. `value` and `default` are text as it is typed."""

    name: str
    part: str | None
    group: str
    description: str
    value: str
    default: str
    changed: bool

    @property
    def key(self) -> str:
        return self.name if self.part is None else f"{self.name}.{self.part}"

    @property
    def shown(self) -> str:
        """The value where it is only looked at."""
        return without_passwords(self.value)


class SettingsForm:
    """Flags, environment, file and built-in defaults below; what was typed above.

    Args:
        flags: from the command line.
        base: defaults in place of the built-in ones (the demo's).
    """

    def __init__(
        self, flags: Mapping[str, Any], config: Path | None = None, base: Mapping[str, Any] | None = None
    ) -> None:
        self._flags = {k: dict(v) if isinstance(v, dict) else v for k, v in flags.items()}
        self._config, self._base = config, base
        self.settings = load_settings(self._flags, config=config, base=base)
        self._defaults = load_settings(environment=False)

    def check(self, key: str, text: str) -> str | None:
        """What is wrong with a text for a setting, None when nothing is."""
        try:
            self.tried(key, text)
        except UsageError as error:
            return str(error)
        return None

    def tried(self, key: str, text: str) -> Settings:
        """The settings as they would be with a text for one of them.

        Raises:
            UsageError: when it does not fit.
        """
        return self._load(self._with(key, text))

    def _load(self, flags: Mapping[str, Any]) -> Settings:
        try:
            return load_settings(flags, config=self._config, base=self._base)
        except UsageError as error:
            # Where a wrong value comes from is before the person's eyes.
            raise UsageError(str(error).replace(" (from the command line)", "", 1)) from error

    def set(self, key: str, text: str) -> None:
        """Take a text for a setting.

        Raises:
            UsageError: when it does not fit; nothing is changed then.
        """
        flags = self._with(key, text)
        self.settings = self._load(flags)
        self._flags = flags

    def reset(self, key: str) -> None:
        """Back to the built-in default."""
        name, _, part = key.partition(".")
        value = getattr(self._defaults, name)
        self.set(key, text_of(getattr(value, part or "dataset") if isinstance(value, PromptSet) else value))

    def entries(self) -> Iterator[Entry]:
        """All settings in the order of their groups."""
        for name, part, field in every_setting():
            now, built_in = getattr(self.settings, name), getattr(self._defaults, name)
            if isinstance(now, PromptSet):
                now, built_in = getattr(now, part or "dataset"), getattr(built_in, part or "dataset")
            yield Entry(
                name=name,
                part=part,
                group=group_of(Settings.model_fields[name]),
                description=f"{field.description}{words_of(field)}",
                value=text_of(now),
                default=text_of(built_in),
                changed=now != built_in,
            )

    def command_line(self) -> str:
        """The command that does the same as Start, but for the password of a storage's URL."""
        words = ["heretic-tui", "run", shlex.quote(self.settings.model)]
        given = {entry.name for entry in self.entries() if entry.changed and entry.part is None}
        for entry in self.entries():
            # A set with a dataset of its own begins from nothing, not from the built-in set's split and column.
            unset = entry.part and entry.name in given and entry.value == text_of(_part_default(entry.part))
            if entry.changed and entry.key != "model" and not unset:
                words += _flag(entry, self.settings)
        return " ".join(words)

    def _with(self, key: str, text: str) -> dict[str, Any]:
        name, _, part = key.partition(".")
        flags = {k: dict(v) if isinstance(v, dict) else v for k, v in self._flags.items()}
        value = value_of(text, name, part)
        if isinstance(getattr(self.settings, name), PromptSet):
            # The whole set is written down, so that no layer below mixes into it; another dataset begins anew.
            whole = getattr(self.settings, name).model_dump() if part else {}
            flags[name] = {**whole, part or "dataset": value}
        else:
            flags[name] = value
        return flags


def text_of(value: Any) -> str:
    """A value as a person types it: plain words bare, lists and tables as TOML, unset as nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value if value.strip() == value and value else toml_value(value)
    return toml_value(value)


def value_of(text: str, name: str, part: str = "") -> Any:
    """What a typed text means; the settings check the rest."""
    stripped = text.strip()
    field = PromptSet.model_fields[part] if part else Settings.model_fields[name]
    if not stripped and field.get_default(call_default_factory=True) is None:
        return None
    if stripped.startswith(("[", "{", '"')):
        try:
            return tomllib.loads(f"x = {stripped}")["x"]
        except (ValueError, RecursionError):
            return text
    if field.annotation is bool:
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(
            stripped.lower(), stripped
        )
    return stripped


def _part_default(part: str) -> Any:
    return PromptSet.model_fields[part].get_default()


def _flag(entry: Entry, settings: Settings) -> list[str]:
    value = getattr(settings, entry.name)
    if entry.part or isinstance(value, PromptSet):
        value = getattr(value, entry.part or "dataset")
    flag = "--" + entry.key.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if isinstance(value, dict):
        return [flag, *(shlex.quote(f"{k}={v}") for k, v in value.items())]
    if isinstance(value, list | tuple):
        return [flag, *(shlex.quote("=>".join(v) if isinstance(v, list | tuple) else str(v)) for v in value)]
    text = "" if value is None else str(value)
    return [flag, shlex.quote(without_passwords(text) if entry.key == "storage" else text)]
