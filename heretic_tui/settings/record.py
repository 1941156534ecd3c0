"""Settings as a run and an export keep them: to JSON, and read back without trusting who wrote them."""

from __future__ import annotations

from collections.abc import Mapping

from heretic_tui.errors import UsageError
from heretic_tui.settings.older import as_now
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import validated
from heretic_tui.words import quoted, without_passwords

# What says where things are written, who is sent prompts and responses, and whose code is run.
_OWN = ("storage", "runs_dir", "review_endpoint", "review_endpoint_model", "review_endpoint_key", "review_task_folder")
# What is about one round alone.
_OF_A_ROUND = ("seed_trials",)


def to_record(settings: Settings) -> dict[str, object]:
    """Settings as plain JSON for what is stored and shown: a password in the storage's URL is not among them."""
    record = settings.model_dump(mode="json")
    if settings.storage:
        record["storage"] = without_passwords(settings.storage)
    return record


def from_record(record: object, own: Settings, where: str) -> Settings:
    """Settings that lie beside results: in run.json or reproduce.json, which may have been written by somebody else.

    What the user has to allow, and where this program writes, is theirs to say: data gives neither.

    Args:
        own: from the user's command line, environment and settings file.
        where: the file, for messages.

    Raises:
        UsageError: when the record does not fit this version, or wants the model's code to be run and `own` does not.
    """
    if not isinstance(record, dict):
        raise UsageError(f"{where} holds no settings")
    record = as_now(record, where)
    if newer := [name for name in record if name not in Settings.model_fields]:
        raise UsageError(f"{where} has a setting that this version does not know, {quoted(newer[0])}: use a newer one")
    found = validated({**record, **{name: getattr(own, name) for name in _OWN}}, where)
    if found.trust_remote_code and not own.trust_remote_code:
        raise UsageError(
            f"{where} asks to run the Python code that comes with the model {quoted(found.model)}: read it first, then "
            "allow it with --trust-remote-code"
        )
    return found


def settings_to_go_on(record: Mapping[str, object], own: Settings, where: str) -> Settings:
    """Settings of a run that lies on the disk, or that waits in a queue, to begin or go on with it.

    Raises:
        UsageError: as for `from_record`, and where its trials are kept in a storage that `own` does not name.
    """
    settings = from_record(record, own, where)
    if record.get("storage") and not own.storage:
        storage = quoted(str(record["storage"]), 200)
        raise UsageError(f"its trials are kept in {storage}: set `storage` to that, with the password, and resume")
    return settings


def settings_on_top(on_top_of: str, record: object, own: Settings, where: str) -> dict[str, object]:
    """What the settings of a second round are where nothing else is said: those of the run whose trial it is on top of.

    Args:
        on_top_of: RUN:TRIAL.
        record: the settings of that run.

    Raises:
        UsageError: as for `from_record`.
    """
    settings = to_record(from_record(record, own, where))
    kept = {name: value for name, value in settings.items() if name not in _OF_A_ROUND}
    return {**kept, "on_top_of": on_top_of, "storage": None}
