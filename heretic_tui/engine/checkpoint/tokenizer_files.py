"""The files of a tokenizer: which are missing or damaged, where else than in them a chat template may lie, and how they
go with an export."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from heretic_tui.errors import UsageError, one_line
from heretic_tui.files import read_bytes, read_json

# What a vocabulary can lie in.
_VOCABULARY = re.compile(r"tokenizer\.json|tekken\.json|vocab\..+|.+\.(model|tiktoken|bpe|vocab)|tokenizer\.model\..+")
_SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
# What else a tokenizer is made of; versions of transformers write them differently.
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
# Processors of models that also take images keep their template in these.
_TEMPLATES = ("chat_template.json", "processor_config.json")


def check_tokenizer_files(folder: Path) -> None:
    """Check that the files are there; without them libraries would wait for ever, or make an empty tokenizer.

    Raises:
        UsageError: where a model's folder has no vocabulary in it, or something in place of a file.
    """
    names = [path.name for path in folder.iterdir()]
    for name in names:
        path = folder / name
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UsageError(f"{path} is no regular file")
    # Code that a model brings may read any file.
    own_code = "tokenizer_config.json" in names and b"auto_map" in read_bytes(folder / "tokenizer_config.json")
    if not own_code and not any(_VOCABULARY.fullmatch(name) for name in names):
        raise UsageError(
            f"{folder} has no tokenizer: tokenizer.json is missing (older models have tokenizer.model, or vocab.json "
            "and merges.txt, in its place)"
        )


def keep_tokenizer_files(source: Path, folder: Path) -> None:
    """Put the source's own files of its tokenizer in the place of those that this version of transformers wrote.

    An edit leaves the tokenizer alone, and other tools read what the model came with: transformers 5 calls most
    tokenizers by a class that version 4 does not know (vLLM and llama.cpp's converter load them with that), and writes
    no tokenizer.model, which the converter wants for models that have one.
    """
    config = source / "tokenizer_config.json"
    if config.is_file() and b"auto_map" in read_bytes(config):
        # A tokenizer with code of its own: what was saved names the code that was saved.
        return
    for path in source.iterdir():
        if path.is_file() and (path.name in _SETTINGS or _VOCABULARY.fullmatch(path.name)):
            shutil.copyfile(path, folder / path.name)


def tokenizer_problem(folder: Path | None, error: Exception) -> str:
    """Why a tokenizer could not be made of its files, in one line."""
    if folder is None:
        return one_line(error)
    for name in ("tokenizer_config.json", "tokenizer.json"):
        path = folder / name
        if not path.exists():
            continue
        try:
            if not isinstance(read_json(path), dict):
                return f"{path} holds no JSON object"
        except UsageError as problem:
            return str(problem)
    if (folder / "tokenizer.json").exists():
        return one_line(error)
    if pieces := [name for name in _SENTENCEPIECE if (folder / name).exists()]:
        return f"{pieces[0]} is there and tokenizer.json is not: to read it, pip install sentencepiece"
    return f"tokenizer.json is missing, and without it: {one_line(error)}"


def template_files(folder: Path) -> tuple[str, ...]:
    """Names of the files that a model's template is taken from where its tokenizer has none."""
    config = folder / "tokenizer_config.json"
    own = (folder / "chat_template.jinja").exists() or (config.is_file() and b'"chat_template"' in read_bytes(config))
    return () if own else _TEMPLATES


def other_template(folder: Path) -> str | None:
    """What to say where a tokenizer has two chat templates that differ; None where it has not."""
    file, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if not file.is_file() or not config.is_file():
        return None
    record = read_json(config)
    other = record.get("chat_template") if isinstance(record, dict) else None
    if not isinstance(other, str) or other.strip() == read_bytes(file).decode(errors="replace").strip():
        return None
    return f"{config.name} holds another chat template than {file.name}, which is the one that is read"


def template_beside(find: Callable[[str], Path | None]) -> str | dict[str, str] | None:
    """The chat template of a model whose tokenizer has none: a text, or a dictionary of several by name. None where
    there is none either.

    Args:
        find: where the model's file of a name lies, None where it has no such file.

    Raises:
        UsageError: when a file that may hold it cannot be read.
    """
    for name in _TEMPLATES:
        path = find(name)
        if path is None:
            continue
        found = read_json(path)
        template = found.get("chat_template") if isinstance(found, dict) else None
        if isinstance(template, list):
            template = {part.get("name"): part.get("template") for part in template if isinstance(part, dict)}
        if template and isinstance(template, str | dict):
            return template
    return None
