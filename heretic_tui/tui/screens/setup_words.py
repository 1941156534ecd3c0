"""What Setup says of a model, and of a set of prompts, before the run: made on threads, from what lies on the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.text import Text

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import user_path
from heretic_tui.settings.schema import Settings
from heretic_tui.tui.glyphs import Glyphs, safe_lines
from heretic_tui.tui.model_files import Device, fits, model_facts
from heretic_tui.tui.preview import inspect_lines, preview_prompts, prompt_facts
from heretic_tui.words import plain, size_words

_PROBLEM = "bold red"


def model_words(model: str, devices: Sequence[Device]) -> Text:
    """What a model's files tell, and where it fits."""
    if not model:
        return Text(
            "A folder, or a Hub id such as Qwen/Qwen3-4B-Instruct-2507.\n"
            "The bundled demo: leave here and run `heretic-tui demo`."
        )
    facts = model_facts(model)
    if facts is None:
        return _unknown(model)
    text = Text(plain(facts.architecture), "bold")
    text = Text.assemble(text, f", {facts.layers} layers of {facts.hidden_size}" if facts.layers else "")
    dtype = plain(facts.dtype) if facts.dtype else "dtype not said"
    text.append(f"\nweights {size_words(facts.weight_bytes)}, {dtype}\n")
    text.append("i shows what of it would be edited\n", "italic")
    for device in devices:
        as_it_is, in_four = ("fits" if fit else "does not fit" for fit in fits(facts, device))
        text.append(f"{plain(device.name)}: {size_words(device.free)} free; {as_it_is}, in 4 bits {in_four}\n")
    return text


def _unknown(model: str) -> Text:
    try:
        there = user_path(model)
        if os.path.isdir(there):
            return Text(f"{plain(str(there))} holds no model: no config.json in it can be read", _PROBLEM)
    except UsageError as error:
        return Text(plain(str(error)), _PROBLEM)
    if os.path.exists(there):
        return Text("That is a file: a model is a folder, or a Hub id.", _PROBLEM)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        return Text(f"no such model folder: {plain(str(there))}", _PROBLEM)
    return Text("Not on this disk: it will be downloaded from the Hub when the run starts.")


def prompt_words(settings: Settings, name: str, glyphs: Glyphs) -> Text:
    """Whether a set can be read, and what is in it."""
    facts, problem = prompt_facts(settings, name)
    if problem:
        return Text(f"{glyphs.failed} {plain(problem)}", _PROBLEM)
    text = Text(f"{glyphs.done} " + "\n".join(plain(line) for line in facts))
    return text.append("\nw shows the first prompts as the model will see them", "italic")


def preview_words(settings: Settings, name: str) -> Text:
    """The first prompts of a set as the model will see them."""
    try:
        prompts, note = preview_prompts(settings, name)
    except HereticError as error:
        return Text(plain(str(error)), _PROBLEM)
    text = Text(f"{name}: the first prompts{plain(note)}\n", "bold")
    for prompt in prompts:
        text.append("\n")
        text.append_text(safe_lines(prompt))
        text.append("\n")
    return text


def inspect_words(settings: Settings) -> Text:
    """What of the model would be edited."""
    try:
        lines = inspect_lines(settings)
    except HereticError as error:
        return Text(plain(str(error)), _PROBLEM)
    text = Text("What would be edited\n\n", "bold")
    # Columns are for a terminal's width; a panel is narrower.
    return text.append("\n".join(plain(" ".join(line.split())) for line in lines))
