"""The two kinds of failure the user is told about in one line, exit statuses, and any library's exception put into such
a line."""

from __future__ import annotations

import logging
import re
import traceback
from pathlib import Path

from heretic_tui.words import without_passwords

# What the process ends with.
DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130

log = logging.getLogger(__name__)


class HereticError(Exception):
    """A failure with a message for people: one line that says what was wrong, where, and what to do."""

    exit_status = FAILED


class UsageError(HereticError):
    """The input was wrong (a setting, a file, a model): nothing was computed, nothing was lost."""

    exit_status = WRONG_INPUT


# Longer than any sentence of this program; some libraries put whole tensors or files into a message.
LONGEST = 600

# Lines that libraries add to messages and that help no reader.
_NOISE = re.compile(
    r"CUDA kernel errors might be asynchronously|For debugging consider passing|Compile with `TORCH_USE_CUDA_DSA|"
    r"Device-side assertion tracking|Search for `cuda|\(Background on this error at:|See documentation for Memory|"
    r"Traceback \(most recent call last\)"
)

# Messages that are known, by type and text (regular expressions), and what is said in their place: {0} is the message
# itself, {1} and so on are groups.
_KNOWN: tuple[tuple[str, str, str], ...] = (
    ("OutOfMemoryError", r"(\w+) out of memory.*?ried to allocate ([\d.]+ \w+).* ([\d.]+ \w+) is free",
     "{1} out of memory: tried to allocate {2}, and {3} is free"),
    ("RuntimeError", r"can't allocate memory: you tried to allocate (\d+) bytes",
     "out of memory: {1} bytes at once could not be had"),
    ("MemoryError", "", "out of memory"),
    ("RecursionError", "", "nested too deeply ({0})"),
    ("KeyboardInterrupt", "", "interrupted"),
    ("", "Couldn't instantiate the backend tokenizer",
     "the tokenizer's files are missing or cannot be used: tokenizer.json, or tokenizer.model, or vocab.json with "
     "merges.txt"),
    ("", "look at the above report|ignore_mismatched_sizes",
     "weights have other shapes than config.json says: files of two models are mixed, or config.json was changed"),
    ("", "model type `([^`]*)` but Transformers does not recognize",
     "the installed transformers does not know the model type {1!r}: a newer one may (pip install -U transformers)"),
    ("", "Unrecognized model in", "config.json names no model type that the installed transformers knows (model_type)"),
    ("", r"Validation error for field '(\w+)'.*? with value (.{1,60}?) doesn't match",
     "{1} of config.json cannot be {2}"),
    ("", r"Validation error for field '(\w+)'.*? expected (\w+), got \w+ \(value: (.{1,60}?)\)",
     "{1} of config.json has to be of type {2}, and is {3}"),
    ("", r"Class validation error for validator '\w+': \w+: (.*)", "config.json contradicts itself: {1}"),
    ("", r"(FlashAttention\d) has been toggled on.* doesn't seem to be installed",
     "it asks for {1}, which is not installed: take attn_implementation out of config.json, or pip install flash-attn"),
    ("", r"requires? the following packages that were not found in your environment: (.*?)\.? Run",
     "the model's code needs packages that are not installed: {1}"),
    ("", r"(\w+) requires the (\w+) library but it was not found",
     "{1} needs a package that is not installed: pip install {2}"),
    ("ModuleNotFoundError", "No module named '([^']*)'", "the package {1!r} is not installed"),
    ("SafetensorError", "os error 28|No space left", "no space left on the disk"),
    ("SafetensorError", "(?i)header|incomplete|invalid|deserializ",
     "a safetensors file is damaged or only half there ({0}): copy or download it again"),
    ("SafetensorError", "", "a safetensors file cannot be used ({0})"),
    ("JSONDecodeError", "", "not valid JSON: {0}"),
    ("UnicodeDecodeError", r"byte (0x\w+) in position (\d+)", "a file is not UTF-8 text (byte {1} at position {2})"),
    ("UnicodeEncodeError", r"position (\d+)", "a text cannot be written as it is (half a character at position {1})"),
    ("", "device-side assert",
     "{0}: a token or a position beyond a table of the model, most likely (CUDA_LAUNCH_BLOCKING=1 shows the place)"),
    ("", "illegal memory access|misaligned address|unspecified launch failure",
     "{0}: a kernel failed, not always in the step that is named (CUDA_LAUNCH_BLOCKING=1 shows the place)"),
    (r"\w*Timeout\w*", "", "no answer in time ({0})"),
)  # fmt: skip

# Their text says little without the name of the class: `KeyError: 'su'`.
_TERSE = (
    KeyError, IndexError, AttributeError, TypeError, AssertionError, NameError, ZeroDivisionError, NotImplementedError,
    StopIteration,
)  # fmt: skip


def one_line(error: BaseException) -> str:
    """What an exception says, in one line for people and without passwords: HereticErrors as they are; of libraries'
    exceptions the first paragraph, with what to do in place of messages that are known to say little, and with the
    place in the code where the message is but a name."""
    if isinstance(error, HereticError):
        return shortened(_flat(_text(error)) or type(error).__name__)
    if isinstance(error, BaseExceptionGroup) and error.exceptions:
        return one_line(error.exceptions[0])
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return shortened(": ".join([_flat(error.strerror), *map(_flat, names)]))
    whole = _text(error)
    said = shortened(_first_paragraph(whole))
    kinds = [cls.__name__ for cls in type(error).__mro__]
    for kind, pattern, words in _KNOWN:
        fits = not kind or any(re.fullmatch(kind, name) for name in kinds)
        if fits and (found := re.search(pattern, _flat(whole))):
            return words.format(said or type(error).__name__, *map(shortened, found.groups()))
    if isinstance(error, KeyError) and "ROPE_INIT_FUNCTIONS" in _source_of(error):
        return f"the installed transformers does not know the rope type {said} of config.json (rope_scaling)"
    if not said:
        return f"{type(error).__name__}{_place(error)}"
    if isinstance(error, _TERSE):
        return f"{type(error).__name__}: {said}{_place(error)}"
    return said


def shortened(text: str) -> str:
    """At most `LONGEST` characters of a text: its beginning."""
    return text if len(text) <= LONGEST else text[: LONGEST - 2].rstrip() + " …"


def _text(error: BaseException) -> str:
    try:
        # A message can be as long as a file.
        return without_passwords(str(error)[: 4 * LONGEST].strip())
    except Exception:
        # An exception's own __str__ may raise anything. The name of its class is used instead.
        log.debug("%s has no text", type(error).__name__, exc_info=True)
        return ""


def _flat(text: str) -> str:
    return " ".join(text.split())


def _first_paragraph(text: str) -> str:
    """Up to the first blank line, in one line; further where that ends in a colon or is but an HTTP status."""
    lines = [line for line in text.splitlines() if not _NOISE.search(line)]
    paragraphs = [_flat(part) for part in re.split(r"\n\s*\n", "\n".join(lines))]
    paragraphs = [part for part in paragraphs if part]
    said = paragraphs[0] if paragraphs else ""
    bare_status = re.match(r"\d{3} (Client|Server) Error", said)
    if len(paragraphs) > 1 and (said.endswith(":") or bare_status):
        said = f"{said} {paragraphs[1]}"
    return re.sub(r"\s*\(Request ID: [^)]*\)", "", said)


def _source_of(error: BaseException) -> str:
    """The line of code that raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return (frames[-1].line or "") if frames else ""


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    path = Path(frames[-1].filename)
    parts = path.parts
    # From the package on: where it is installed says nothing.
    start = parts.index("site-packages") + 1 if "site-packages" in parts else max(0, len(parts) - 3)
    return f" (in {'/'.join(parts[start:])}, line {frames[-1].lineno})"
