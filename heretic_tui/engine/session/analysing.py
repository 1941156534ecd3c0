"""The analysis of the layers in a session: when it is due, and how it gives way to what people ask for meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable

from heretic_tui.commands import Analyse
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.session.phases.layers import layers_known
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.errors import one_line
from heretic_tui.events import AnalysisEnded
from heretic_tui.run.state import RunState
from heretic_tui.work import Work

log = logging.getLogger(__name__)


class Analysing:
    """Whether the layers of a run have been analysed, and the analysis itself. The search needs none of it, so nothing
    that fails in it ends a run.

    Args:
        beside: called between its batches and layers: what can be obeyed meanwhile.
    """

    def __init__(
        self, run: RunInputs, state: RunState, control: Control, work: Work, beside: Callable[[], None]
    ) -> None:
        self._run = run
        self._state = state
        self._control = control
        self._work = work
        self._beside = beside
        self._known = False
        # After a failure, or when it was cancelled: it is made when it is asked for, or by another session.
        self._given_up = False
        # The control of an analysis in hand that nobody asked for, until it gives way.
        self._gives_way: Control | None = None

    def look(self) -> None:
        """See what the run folder holds, and tell it where the journal did not."""
        found = layers_known(self._run, self._work)
        self._known = found is not None
        if found and found != self._state.analysis:
            self._work.tell(found)

    def due(self, searched: bool) -> bool:
        """Whether the layers are still to be analysed.

        Args:
            searched: whether the search is done.
        """
        ended = self._control.stopping or self._control.aborting
        return searched and not (self._known or self._given_up or ended)

    def give_way(self) -> None:
        """End an analysis that nobody asked for; it stays due."""
        if self._gives_way:
            self._gives_way.abort()
            self._gives_way = None

    def analyse(self, command: Analyse, ready: Callable[[], Workbench], asked: bool = True) -> None:
        """Analyse the layers, and tell how that ended.

        Args:
            ready: makes the model ready where it is not.
            asked: whether a person asked for it; else it gives way.

        Raises:
            Aborted: from the session's control, not from that of the command.
        """
        if self._known and (found := layers_known(self._run, self._work)):
            self._work.tell(found)
            self._work.tell(AnalysisEnded())
            return
        control = self._control
        task, problem = control.begin(command), None
        serve = control.beside(task, self._beside)
        self._gives_way = None if asked else task
        try:
            with control.acting(task):
                task.checkpoint()
                bench = ready()
                # From here on there is a model that can answer.
                task.serve = serve
                bench.analyse_layers(self._work.under(task))
            self._known = True
        except Aborted:
            if not task.aborting:
                raise
            self._given_up = asked or self._gives_way is not None
            problem = "cancelled" if self._given_up else "what was asked for comes first; it is made after that"
        except Exception as error:
            log.exception("the analysis of the layers failed")
            self._given_up, problem = True, one_line(error)
        finally:
            self._gives_way = None
            control.end(command)
        self._work.tell(AnalysisEnded(error=problem))
