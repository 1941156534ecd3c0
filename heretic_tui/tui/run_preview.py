"""What the screens show of the engine about a run before something is asked of it: which checks a review can make,
whether an adapter can be written. Looks take seconds at their first call, for imports: they are for threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heretic_tui.parameters import Parameters
from heretic_tui.settings.model_names import folder_of
from heretic_tui.settings.record import from_record
from heretic_tui.settings.schema import Settings
from heretic_tui.tui.plan_looks import CheckLook


def review_checks(recorded: Mapping[str, object], own: Settings | None) -> list[CheckLook]:
    """The checks of reviews that a run could be asked for.

    Args:
        recorded: the settings of the run as it was opened.
        own: those that it was started with here; None where it was started elsewhere.

    Raises:
        UsageError: where the run's settings do not fit this version.
    """
    from heretic_tui.engine.review.offered import offered

    settings = own or _as_recorded(recorded)
    return [
        CheckLook(each.name, each.title, each.name in settings.review_checks, each.absent or "")
        for each in offered(settings)
    ]


def adapter_refused(recorded: Mapping[str, object], own: Settings | None, edits: Sequence[Parameters]) -> str:
    """Why no adapter can hold edits of a run's model, as far as that is known without its weights; empty where one can.

    Args:
        recorded, own: as for `review_checks`.
        edits: those of all rounds.

    Raises:
        UsageError: where the run's settings do not fit this version.
    """
    settings = own or _as_recorded(recorded)
    if folder_of(settings.model, settings.model_commit) is None:
        return ""
    from heretic_tui.engine.export.adapter import adapter_problem

    return adapter_problem(settings, edits)


def _as_recorded(recorded: Mapping[str, object]) -> Settings:
    """
    Raises:
        UsageError: where the settings of a run do not fit this version.
    """
    allowed = {"trust_remote_code": bool(recorded.get("trust_remote_code"))}
    return from_record(recorded, Settings.model_validate(allowed), "the run")
