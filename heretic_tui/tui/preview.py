"""What the screens show of the engine without a run: prompts, matrices, and what decided a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from heretic_tui.errors import HereticError
from heretic_tui.run.results import ResponseRecord
from heretic_tui.settings.schema import Settings
from heretic_tui.words import counted, quoted


def inspect_lines(settings: Settings) -> list[str]:
    """What of a model would be edited, as lines. Takes seconds at the first call, for imports: to be called on a
    thread.

    Raises:
        HereticError: when the model cannot be found, or cannot be edited.
    """
    from heretic_tui.engine.anatomy.inspect import inspect_model

    return inspect_model(settings).lines()


def preview_prompts(settings: Settings, name: str, count: int = 3) -> tuple[list[str], str]:
    """The first prompts of a set as the model will see them, and a note where the chat template is not at hand. Takes
    seconds at the first call, for imports: to be called on a thread.

    Raises:
        UsageError: when the set cannot be read.
    """
    from heretic_tui.engine.checkpoint.source import load_tokenizer
    from heretic_tui.engine.inputs.chat_template import ChatTemplate
    from heretic_tui.engine.inputs.prompts import load_prompt_set

    prompts = load_prompt_set(getattr(settings, name), name, settings.system_prompt).prompts
    try:
        tokenizer = load_tokenizer(settings)
    except HereticError as error:
        return [prompt.text for prompt in prompts[:count]], f" (without the chat template: {error})"
    template = ChatTemplate(tokenizer)
    shown = [
        template.render(prompt.system_prompt, (("user", prompt.text),)) + (settings.response_prefix or "")
        for prompt in prompts[:count]
    ]
    return shown, f" of {len(prompts)}"


def prompt_facts(settings: Settings, name: str) -> tuple[list[str], str | None]:
    """Lines about a set that lies on this disk, and what is wrong with it, None when nothing is. Reads all of it, and
    imports what can read it: to be called on a thread. Data sets on the Hub are not looked for.

    Args:
        name: of the setting, such as good_prompts.
    """
    from heretic_tui.engine.inputs.prompts import load_prompt_set, local_path

    spec = getattr(settings, name)
    try:
        if local_path(spec.dataset, name) is None:
            return ["A data set on the Hub: it is read when the run starts. w reads it now."], None
        found = load_prompt_set(spec, name, settings.system_prompt)
    except HereticError as error:
        return [], str(error)
    return [f"{counted(len(found.prompts), 'prompt')}, the first: {quoted(found.prompts[0].text)}", *found.notes], None


def marker_place(record: ResponseRecord, thinking: Sequence[Sequence[str]]) -> tuple[int, int] | None:
    """Where the marker of a verdict begins and ends in the response, also for files of versions that did not keep it.
    See engine/metrics/judges/markers.py. Loads no heavy library: it can be called on the screen's thread."""
    from heretic_tui.engine.metrics.judges import markers

    return markers.marker_place(record, thinking)
