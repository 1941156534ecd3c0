"""What a set of prompts holds, told before a run: for a form that is being filled in."""

from __future__ import annotations

from heretic_tui.errors import HereticError
from heretic_tui.runtime.text import counted, quoted
from heretic_tui.settings import Settings


def prompt_facts(settings: Settings, name: str) -> tuple[list[str], str | None]:
    """Lines about a set that lies on this disk, and what is wrong with it, None when nothing is. Reads all of it, and
    imports what can read it: to be called on a thread. Data sets on the Hub are not looked for.

    Args:
        name: of the setting, such as good_prompts.
    """
    from heretic_tui.engine.prompts import load_prompt_set, local_path

    spec = getattr(settings, name)
    try:
        if local_path(spec.dataset, name) is None:
            return ["A data set on the Hub: it is read when the run starts. w reads it now."], None
        found = load_prompt_set(spec, name, settings.system_prompt)
    except HereticError as error:
        return [], str(error)
    return [f"{counted(len(found.prompts), 'prompt')}, the first: {quoted(found.prompts[0].text)}", *found.notes], None
