"""Settings being edited: what the user typed so far, checked as they type, and the command line that says the same."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from heretic_tui.bounds import SPACES, range_text
from heretic_tui.errors import UsageError
from heretic_tui.settings.describe import Setting, every_setting
from heretic_tui.settings.older import with_present_names
from heretic_tui.settings.prompt_sets import PromptSet
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import WrongValue, load_settings
from heretic_tui.settings.titles import title_of, value_words, whole_title
from heretic_tui.settings.toml import toml_value
from heretic_tui.words import without_passwords

# Of settings that take a file too, the values that have a name.
_NAMED = {"search_space": tuple(SPACES)}
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Entry:
    """One setting, or one part of a prompt set, as a form shows it. `value` is text as it is typed.

    Attributes:
        title: what people call it.
        words, default_words: value and default where they are only looked at.
        choices: the values that it can have; those with a name where others can be typed too; empty where it is free.
    """

    key: str
    name: str
    part: str | None
    title: str
    group: str
    description: str
    value: str
    words: str
    default_words: str
    choices: tuple[str, ...]
    changed: bool


@dataclass(frozen=True)
class _Sources:
    """What settings are made of, besides the environment: what was given on the command line or typed, the file that
    was named, defaults in place of the built-in ones."""

    given: Mapping[str, object]
    config: Path | None
    base: Mapping[str, object] | None


class SettingsForm:
    """Flags, environment, file and built-in defaults, and over them what was typed.

    Args:
        flags: from the command line.
        config: the settings file that was named.
        base: defaults in place of the built-in ones (the demo's).

    Attributes:
        settings: as they are now.
    """

    def __init__(
        self, flags: Mapping[str, object], config: Path | None = None, base: Mapping[str, object] | None = None
    ) -> None:
        self._from = _Sources(with_present_names(flags, "the command line"), config, base)
        # What settings were made of before each change, with what the change was; the latest last.
        self._before: list[tuple[str, _Sources]] = []
        self.settings = load_settings(flags, config=config, base=base)
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
        return self._load(replace(self._from, given=self._with(key, text)))

    def set(self, key: str, text: str) -> None:
        """Take a text for a setting.

        Raises:
            UsageError: when it does not fit; nothing is changed then.
        """
        self._take(whole_title(key), replace(self._from, given=self._with(key, text)))

    def update(self, what: str, values: Mapping[str, object]) -> None:
        """Take several values, by the settings' names, as one change.

        Args:
            what: what the change is called.

        Raises:
            UsageError: when one does not fit; nothing is changed then.
        """
        self._take(what, replace(self._from, given={**self._from.given, **values}))

    def begin_with(self, what: str, base: Mapping[str, object]) -> None:
        """Begin anew with other defaults in place of the built-in ones, as one change: what was typed before is left
        out, and so are flags and a file that was named, but for the folder of runs.

        Args:
            what: what the change is called.

        Raises:
            UsageError: when one does not fit; nothing is changed then.
        """
        self._take(what, _Sources({"runs_dir": self.settings.runs_dir}, None, base))

    def reset(self, key: str) -> None:
        """Back to the built-in default."""
        name, _, part = key.partition(".")
        self.set(key, text_of(_value(self._defaults, Setting(name, part or None))))

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._before)

    def undo(self) -> str | None:
        """Take the last change back. Returns what it was called, None where nothing was changed."""
        if not self._before:
            return None
        what, sources = self._before.pop()
        self.settings, self._from = self._load(sources), sources
        return what

    def _take(self, what: str, sources: _Sources) -> None:
        settings = self._load(sources)
        if settings != self.settings:
            self._before.append((what, self._from))
        self.settings, self._from = settings, sources

    def entries(self) -> Iterator[Entry]:
        """All settings in the order of their groups."""
        for setting in every_setting():
            now, built_in = _value(self.settings, setting), _value(self._defaults, setting)
            yield Entry(
                key=setting.key,
                name=setting.name,
                part=setting.part,
                title=title_of(setting.key),
                group=setting.group,
                description=setting.description,
                value=text_of(now),
                words=_words(setting, now),
                default_words=_words(setting, built_in),
                choices=_NAMED.get(setting.key, setting.choices if not setting.takes_several else ()),
                changed=now != built_in,
            )

    def command_line(self) -> str:
        """The command that does the same as Start, but for the password of a storage's URL."""
        return command_line(self.settings)

    def _load(self, sources: _Sources) -> Settings:
        try:
            return load_settings(sources.given, config=sources.config, base=sources.base)
        except WrongValue as error:
            # Which value is wrong, and where it comes from, is before the user's eyes.
            title = whole_title(error.setting.key)
            raise UsageError(f"{title[:1].upper()}{title[1:]}: {error.advice}") from error

    def _with(self, key: str, text: str) -> dict[str, object]:
        """What is given so far, and a text for one setting."""
        name, _, part = key.partition(".")
        value = value_of(text, name, part)
        now = getattr(self.settings, name)
        if isinstance(now, PromptSet):
            # The whole set is written down, so that no source below adds to it; another dataset starts from defaults.
            value = {**now.model_dump(), part: value} if part else {"dataset": value}
        return {**self._from.given, name: value}


def command_line(settings: Settings) -> str:
    """The command that starts a run with these settings, but for the password of a storage's URL."""
    defaults = load_settings(environment=False)
    words = ["heretic-tui", "run", shlex.quote(settings.model)]
    for setting in every_setting():
        now = _value(settings, setting)
        if setting.name != "model" and now != _without_flag(setting, settings, defaults):
            words += _flag(setting, now)
    return " ".join(words)


def _without_flag(setting: Setting, settings: Settings, defaults: Settings) -> object:
    """What a setting would be if it were left out of the command line."""
    whole = Setting(setting.name)
    if setting.part and _value(settings, whole) != _value(defaults, whole):
        # A set with a dataset of its own begins from nothing, not from the built-in set's split and column.
        return setting.field.get_default()
    return _value(defaults, setting)


def text_of(value: object) -> str:
    """A value as the user types it: plain words bare, lists and tables as TOML, unset as nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value if value.strip() == value and value else toml_value(value)
    return toml_value(value)


def value_of(text: str, name: str, part: str = "") -> object:
    """What a typed text means for a setting, or for a part of a prompt set; the settings check the rest."""
    stripped = text.strip()
    setting = Setting(name, part or None)
    if not stripped and setting.field.get_default(call_default_factory=True) is None:
        return None
    if stripped.startswith(("[", "{", '"')):
        try:
            found: object = tomllib.loads(f"x = {stripped}")["x"]
            return found
        except (ValueError, RecursionError):
            return text
    return _SWITCHES.get(stripped.lower(), stripped) if setting.is_switch else stripped


def _value(settings: Settings, setting: Setting) -> object:
    """The value of a setting; that of a prompt set is its dataset."""
    value: object = getattr(settings, setting.name)
    return getattr(value, setting.part or "dataset") if isinstance(value, PromptSet) else value


def _words(setting: Setting, value: object) -> str:
    words = value_words(setting.key, value)
    return without_passwords(str(value)) if words is None else words


def _flag(setting: Setting, value: object) -> list[str]:
    """A flag and its values as a shell takes them."""
    match value:
        case bool():
            return [setting.flag if value else f"--no-{setting.flag.removeprefix('--')}"]
        case dict():
            words = {key: range_text(item) if isinstance(item, tuple) else item for key, item in value.items()}
            values = [f"{key}={item}" for key, item in words.items()]
        case list() | tuple():
            values = ["=>".join(item) if isinstance(item, list | tuple) else str(item) for item in value]
        case None:
            values = [""]
        case _:
            values = [without_passwords(str(value)) if setting.name == "storage" else str(value)]
    return [setting.flag, *map(shlex.quote, values)]
