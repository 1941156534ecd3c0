"""Where a model's files are: found or downloaded, its tokenizer, configuration and fingerprint."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from tqdm import tqdm
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

from heretic_tui.control import Aborted
from heretic_tui.engine.checkpoint.json_files import check_json_files
from heretic_tui.engine.checkpoint.misfit import build_empty, try_on
from heretic_tui.engine.checkpoint.opened import opened
from heretic_tui.engine.checkpoint.packing import packing_of
from heretic_tui.engine.checkpoint.stored import (
    packed_layout,
    refuse_adapter,
    refuse_no_weights,
    refuse_pointers,
    stored_tensors,
)
from heretic_tui.engine.checkpoint.suitability import refuse_packed, refuse_unsuitable
from heretic_tui.engine.checkpoint.tokenizer_files import (
    check_tokenizer_files,
    template_beside,
    template_files,
    tokenizer_problem,
)
from heretic_tui.errors import UsageError, one_line
from heretic_tui.files import read_bytes, user_path
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quoted
from heretic_tui.work import Work

_SAMPLE = 1 << 20

log = logging.getLogger(__name__)


def locate(model: str) -> str:
    """A local folder as an absolute path, a Hub id as it is.

    Raises:
        UsageError: when the folder is not there or holds no model.
    """
    path = user_path(model)
    if os.path.isdir(path):
        refuse_pointers(path)
        refuse_adapter(path)
        if not (path / "config.json").is_file():
            hint = ": name one of the folders in its snapshots" if (path / "snapshots").is_dir() else ""
            raise UsageError(f"{path} holds no model: there is no config.json in it{hint}")
        if any("\udc80" <= character <= "\udcff" for character in str(path.resolve())):
            raise UsageError(
                f"{quoted(str(path), 200)} is not UTF-8, and libraries read no such names: rename the folder"
            )
        check_json_files(path)
        return str(path.resolve())
    if os.path.exists(path):
        raise UsageError(f"{path} is a file: a model is a folder (config.json, safetensors, tokenizer) or a Hub id")
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UsageError(f"no such model folder: {path}")
    return model


def load_tokenizer(settings: Settings) -> PreTrainedTokenizerBase:
    """The tokenizer, checked for a chat template.

    Raises:
        UsageError: no such model, no tokenizer, or a model without a chat template.
    """
    source = locate(settings.model)
    folder = Path(source) if Path(source).is_dir() else None
    if folder:
        check_tokenizer_files(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **hub_options(settings))
    except Exception as error:
        if "trust_remote_code" in str(error) or (folder is None and isinstance(error, OSError)):
            raise UsageError(unavailable(settings, error)) from error
        problem = tokenizer_problem(folder, error)
        raise UsageError(f"the tokenizer of {settings.model} cannot be loaded: {problem}") from error
    if not tokenizer.chat_template:
        tokenizer.chat_template = template_beside(lambda name: _file_of(settings, name))
    if not tokenizer.chat_template:
        raise UsageError(
            f"{settings.model} has no chat template: it is not a chat model (look for an -Instruct version)"
        )
    return tokenizer


def load_config(settings: Settings) -> PretrainedConfig:
    """The model's configuration.

    Raises:
        UsageError: when the model cannot be found, is of a kind that transformers does not know, or cannot be edited.
    """
    source = locate(settings.model)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(source, **hub_options(settings))
    except Exception as error:
        raise UsageError(unavailable(settings, error)) from error
    refuse_unsuitable(config)
    if (path := Path(source) / "generation_config.json").is_file():
        # Loading reads it after the weights, and as many times as there are dtypes to try.
        try:
            GenerationConfig.from_pretrained(source)
        except Exception as error:
            raise UsageError(f"{path} cannot be used: {one_line(error)}") from error
    return config


def check_weights(settings: Settings, config: PretrainedConfig) -> list[str]:
    """Look at the headers of a model's weight files, and try them on the network of its configuration. Returns the
    tensors that the class leaves out.

    Raises:
        UsageError: for files that are not whole or are packed, and weights that are not what the configuration says.
    """
    folder = source_folder(settings)
    refuse_adapter(folder)
    tensors = opened(stored_tensors(folder), packing_of(config))
    if packed := packed_layout(folder, tensors):
        refuse_packed(*packed)
    # How the model's own code uses names is known when it loads; so is a file that only its configuration names.
    own = bool(getattr(config, "auto_map", None)) and settings.trust_remote_code
    if own or getattr(config, "transformers_weights", None):
        return []
    if not tensors:
        refuse_no_weights(folder)
    network = build_empty(config, settings.trust_remote_code)
    return try_on(type(network), config, tensors)


def save_processor(settings: Settings, folder: Path) -> None:
    """Write what turns images and sounds into a model's input beside its tokenizer; nothing for a model of text."""
    source = source_folder(settings)
    for name in ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"):
        # Copied, not saved again: loading a processor may need libraries that only images need.
        if (source / name).is_file() and not (folder / name).exists():
            shutil.copyfile(source / name, folder / name)


def fingerprint(settings: Settings) -> str:
    """SHA-256 that changes when the model does: the commit on the Hub, or for a folder its configuration and, of every
    weight file, name, size, first and last MiB. (Hashing 100 GB at every start would take minutes.)

    Raises:
        UsageError: when the model cannot be found.
    """
    source = locate(settings.model)
    digest = hashlib.sha256()
    if not Path(source).is_dir():
        digest.update(f"{source}@{commit_of(settings)}".encode())
        return digest.hexdigest()
    weights = sorted(p for p in Path(source).iterdir() if p.suffix in {".safetensors", ".bin"} and p.is_file())
    if not weights:
        refuse_no_weights(Path(source))
    for name in (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        *template_files(Path(source)),
    ):
        if (path := Path(source) / name).is_file():
            digest.update(name.encode() + read_bytes(path))
    for path in weights:
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read())
    return digest.hexdigest()


def commit_of(settings: Settings) -> str | None:
    """The Hub commit that a model is loaded from, None for a folder.

    Raises:
        UsageError: when the model cannot be found.
    """
    return None if Path(locate(settings.model)).is_dir() else source_folder(settings).name


def source_folder(settings: Settings) -> Path:
    """The folder with the model's files; of a Hub model, that of its commit in the cache.

    Raises:
        UsageError: when the model cannot be found.
    """
    located = locate(settings.model)
    if Path(located).is_dir():
        return Path(located)
    try:
        # The cache lies in folders by commit; this asks the Hub only where it can be reached.
        return Path(hf_hub_download(settings.model, "config.json", revision=settings.model_commit)).parent
    except Exception as error:
        raise UsageError(unavailable(settings, error)) from error


def _file_of(settings: Settings, name: str) -> Path | None:
    """Where a small file of a model lies, None where it has none of that name."""
    located = Path(locate(settings.model))
    if located.is_dir():
        return located / name if (located / name).exists() else None
    try:
        return Path(hf_hub_download(settings.model, name, revision=settings.model_commit))
    except Exception:
        # The model has no such file, or it is not in the cache and the Hub cannot be reached; errors of the client's
        # HTTP library differ between versions.
        log.debug("no %s of %s", name, settings.model, exc_info=True)
        return None


# What a model folder on the Hub may hold besides, in other formats, is not fetched.
_FETCHED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
_LEFT = ("*/*", "consolidated*")


def download(settings: Settings, work: Work) -> bool:
    """Fetch a Hub model's files, with progress; loading would fetch them in silence. False for a folder, for which
    there is nothing to do."""
    if Path(locate(settings.model)).is_dir():
        return False
    report, lock, ended = work.progress("download, MB"), threading.Lock(), threading.Event()

    # At run time it takes no parameter of its type.
    class Bar(tqdm):  # type: ignore[type-arg]
        """Sees the bytes arrive; called from several threads."""

        def display(self, *args: object, **options: object) -> None:
            # A bar draws itself once more when it is collected, which may be after the end of the run.
            if ended.is_set():
                return
            work.checkpoint()
            if self.unit != "B" or not self.total or not self.n:
                return
            with lock:
                report(round(self.n / 1e6), round(self.total / 1e6))

    def fetch(*patterns: str) -> Path:
        folder = snapshot_download(
            settings.model,
            revision=settings.model_commit,
            tqdm_class=Bar,  # type: ignore[arg-type]  # it asks for less than it says
            allow_patterns=list(patterns),
            ignore_patterns=list(_LEFT),
        )
        return Path(folder)

    try:
        folder = fetch(*_FETCHED, *(["*.py"] if settings.trust_remote_code else []))
        if not any(folder.glob("*.safetensors")):
            # The older format, for models that come in no other.
            fetch("*.bin")
    except Aborted:
        raise
    except Exception as error:
        raise UsageError(unavailable(settings, error)) from error
    finally:
        ended.set()
    return True


def hub_options(settings: Settings) -> dict[str, str | bool | None]:
    return {"revision": settings.model_commit, "trust_remote_code": settings.trust_remote_code}


def unavailable(settings: Settings, error: Exception) -> str:
    where = f"model {settings.model}" + (f" at commit {settings.model_commit}" if settings.model_commit else "")
    text = one_line(error)
    if "trust_remote_code" in str(error):
        return f"{where} brings code of its own: read it, then allow it with --trust-remote-code"
    if "is not a local folder" in str(error) or "Repository Not Found" in str(error) or "404" in text:
        return f"{where} was not found, neither as a folder nor on the Hub (a private or gated one needs HF_TOKEN)"
    if "We couldn't connect" in str(error) or "offline" in text.lower() or "resolve" in text.lower():
        return f"{where} is not in the local cache, and the Hub cannot be reached: {text}"
    return f"{where} cannot be loaded: {text}"
