"""The part of Setup that measures how long a run would take, where no earlier run of the model tells."""

from __future__ import annotations

from heretic_tui.control import Aborted, Control
from heretic_tui.errors import HereticError
from heretic_tui.events import Event, Progress
from heretic_tui.tui.screens.setup_plan import SetupPlan
from heretic_tui.tui.threads import on_thread
from heretic_tui.work import Work

# Percent between two paints of how far a probe is.
_EVERY = 10


class SetupProbe(SetupPlan):
    """A probe at a time, on a thread; it is dropped when a run starts, or the key is pressed again."""

    _control: Control | None = None

    def action_probe(self) -> None:
        settings, outlook = self.form.settings, self.outlook
        if self._control:
            self.end_probe()
            return
        if outlook.times:
            self.say(f"Run {outlook.times.run} tells how long it takes.")
            return
        if outlook.settings != settings or not outlook.complete:
            self.say("The files are still being looked at.")
            return
        if outlook.model is None or outlook.model.problem:
            self.say("Nothing of the model is on this disk yet, or it cannot be used.")
            return
        control = self._control = Control()
        self.probed = 0
        self.paint_beside()

        def hear(event: Event) -> None:
            if isinstance(event, Progress) and event.total and self.is_attached:
                self.app.call_from_thread(self._see_probe, control, 100 * event.done // event.total)

        def run() -> None:
            said = ""
            try:
                self.looker.probe(settings, outlook.load, outlook.row_bytes, Work(hear, control))
            except Aborted:
                said = "The probe was dropped."
            except HereticError as error:
                said = f"Not measured: {error}."
            if self.is_attached:
                self.app.call_from_thread(self._probe_ended, control, said)

        on_thread(self, run, "probe", exclusive=False)

    def end_probe(self) -> None:
        """Drop the probe that is under way, where there is one."""
        if self._control:
            self._control.abort()

    def on_unmount(self) -> None:
        self.end_probe()

    def _see_probe(self, control: Control, percent: int) -> None:
        if self._control is control and self.probed is not None and percent >= self.probed + _EVERY:
            self.probed = percent
            if self.is_ready:
                self.paint_beside()

    def _probe_ended(self, control: Control, said: str) -> None:
        if self._control is not control:
            return
        self._control = self.probed = None
        if not self.is_ready:
            return
        if said:
            self.say(said)
        self.look(self.form.settings)
        self.paint_beside()
