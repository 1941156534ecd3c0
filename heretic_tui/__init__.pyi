# The types of the public names, for type checkers: `__init__.py` imports each when it is first asked for.

from heretic_tui import events as events
from heretic_tui.control import Control as Control
from heretic_tui.engine.directions.find import find_directions as find_directions
from heretic_tui.engine.directions.methods.base import DirectionMethod as DirectionMethod
from heretic_tui.engine.edits.attach import attached as attached
from heretic_tui.engine.edits.methods.base import EditMethod as EditMethod
from heretic_tui.engine.inputs.check import check_inputs as check_inputs
from heretic_tui.engine.metrics.base import FirstTokenMetric as FirstTokenMetric
from heretic_tui.engine.metrics.base import ResponseMetric as ResponseMetric
from heretic_tui.engine.metrics.judges.base import Judge as Judge
from heretic_tui.engine.model.load import load_model as load_model
from heretic_tui.engine.session.export import export_trial as export_trial
from heretic_tui.engine.session.reproduce import reproduce as reproduce
from heretic_tui.engine.session.session import Session as Session
from heretic_tui.engine.session.workbench import Workbench as Workbench
from heretic_tui.figures import Figure as Figure
from heretic_tui.parameters import Kernel as Kernel
from heretic_tui.parameters import Parameters as Parameters
from heretic_tui.run.run import Run as Run
from heretic_tui.settings.prompt_sets import PromptSet as PromptSet
from heretic_tui.settings.schema import Settings as Settings
from heretic_tui.settings.sources import load_settings as load_settings
from heretic_tui.work import Work as Work

__all__: list[str]
__version__: str
