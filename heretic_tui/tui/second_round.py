"""What Setup begins a second round with: a search on top of a trial of the run in view."""

from __future__ import annotations

from heretic_tui.files import user_path
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.rounds import read_base, whole_name
from heretic_tui.settings.record import settings_on_top
from heretic_tui.settings.schema import Settings


def second_round(folder: RunFolder, trial: int, own: Settings) -> dict[str, object]:
    """The settings of `heretic-tui open --from RUN --trial N`, under what the environment says. Reads the journal of
    the run: to be called on a thread.

    Args:
        own: the user's settings: they allow what the run's record cannot.

    Raises:
        HereticError: where the run's files cannot be read, or nothing can be searched on top of the trial.
    """
    runs_dir = user_path(own.runs_dir)
    text = whole_name(f"{folder.path}:{trial}", runs_dir)
    earlier = read_base(text, runs_dir).rounds[-1]
    return settings_on_top(text, earlier.settings, own, earlier.run)
