"""From a folder or a Hub id to a chat model in memory: checks without weights, the dtype ladder, 4-bit, devices."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download, snapshot_download
from tqdm import tqdm
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BitsAndBytesConfig,
    PretrainedConfig,
)

from heretic_tui.engine.bars import bars_as_progress
from heretic_tui.engine.control import Aborted, Control
from heretic_tui.engine.events import Emit, Notice
from heretic_tui.engine.limits import find_limits
from heretic_tui.engine.model import ChatModel, out_of_memory
from heretic_tui.engine.progress import reporter
from heretic_tui.engine.prompts import Prompt
from heretic_tui.engine.suitability import model_class, refuse_unsuitable
from heretic_tui.engine.tokenizer_files import check_tokenizer_files, template_beside, tokenizer_problem
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.runtime.files import user_path
from heretic_tui.settings import Settings

_SAMPLE = 1 << 20


def locate(model: str) -> str:
    """A local folder as an absolute path, a Hub id as it is.

    Raises:
        UsageError: when the folder is not there or holds no model.
    """
    path = user_path(model)
    if os.path.isdir(path):
        if not (path / "config.json").is_file():
            raise UsageError(f"{path} holds no model: there is no config.json in it")
        return str(path.resolve())
    if os.path.exists(path):
        raise UsageError(f"{path} is a file: a model is a folder (config.json, safetensors, tokenizer) or a Hub id")
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UsageError(f"no such model folder: {path}")
    return model


def load_tokenizer(settings: Settings) -> Any:
    """The tokenizer, checked for a chat template.

    Raises:
        UsageError: no such model, no tokenizer, or a model without a chat template.
    """
    source = locate(settings.model)
    folder = Path(source) if Path(source).is_dir() else None
    if folder:
        check_tokenizer_files(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **_hub(settings))
    except Exception as error:
        if "trust_remote_code" in str(error) or (folder is None and isinstance(error, OSError)):
            raise UsageError(_unavailable(settings, error)) from error
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
        config = AutoConfig.from_pretrained(source, **_hub(settings))
    except Exception as error:
        raise UsageError(_unavailable(settings, error)) from error
    refuse_unsuitable(config)
    return config


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
    weights = sorted(p for p in Path(source).iterdir() if p.suffix in {".safetensors", ".bin"})
    if not weights:
        raise UsageError(f"{source} holds no weights: there is no .safetensors file in it")
    for name in (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ):
        if (path := Path(source) / name).is_file():
            digest.update(name.encode() + path.read_bytes())
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
        raise UsageError(_unavailable(settings, error)) from error


def _file_of(settings: Settings, name: str) -> Path | None:
    """Where a small file of a model lies, None where it has none of that name."""
    located = Path(locate(settings.model))
    if located.is_dir():
        return located / name if (located / name).exists() else None
    try:
        return Path(hf_hub_download(settings.model, name, revision=settings.model_commit))
    except Exception:  # not there, or not in the cache and the Hub out of reach
        return None


def load_model(settings: Settings, emit: Emit, control: Control, tokenizer: Any | None = None) -> ChatModel:
    """Load with the first dtype of the ladder with which both loading and a one-token test work.

    Raises:
        UsageError: no such model, or weights that do not fit on the devices.
        HereticError: when no dtype works; the reason for each is in the message.
    """
    tokenizer = tokenizer or load_tokenizer(settings)
    config = load_config(settings)
    _download(settings, emit, control)
    failures: list[str] = []
    for dtype in settings.dtypes:
        network = None
        try:
            with bars_as_progress(emit, control):
                network = model_class(config).from_pretrained(
                    locate(settings.model), dtype=dtype, **_placement(settings, dtype), **_hub(settings)
                )
            _refuse_offloaded(network)
            fine, post_norms = settings.component_kinds == "fine", settings.account_for_post_norm
            model = ChatModel(network, tokenizer, emit, control, fine, post_norms)
            _one_token_test(model)
            find_limits(model, emit)
            return model
        except (UsageError, Aborted):
            raise
        except Exception as error:
            if isinstance(error, OSError):
                raise UsageError(_unavailable(settings, error)) from error
            hint = " (out of memory: try --quantization bnb_4bit)" if out_of_memory(error) else ""
            failures.append(f"{dtype}: {one_line(error)}{hint}")
            emit(Notice(level="warning", text=f"loading as {dtype} failed: {one_line(error)}{hint}"))
            # The next attempt needs the memory that this one holds.
            del network
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    raise HereticError(f"{settings.model} could not be loaded with any dtype; {'; '.join(failures)}")


# What a model folder on the Hub may hold besides, in other formats, is not fetched.
_FETCHED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
_LEFT = ("*/*", "consolidated*")


def _download(settings: Settings, emit: Emit, control: Control) -> None:
    """Fetch a Hub model's files, with progress; loading would fetch them in silence. Does nothing for a folder."""
    if Path(locate(settings.model)).is_dir():
        return
    report, lock = reporter(emit, "download, MB"), threading.Lock()

    class Bar(tqdm):
        """Sees the bytes arrive; called from several threads."""

        def display(self, *args: Any, **options: Any) -> None:
            control.checkpoint()
            if self.unit != "B" or not self.total or not self.n:
                return
            with lock:
                report(round(self.n / 1e6), round(self.total / 1e6))

    def fetch(*patterns: str) -> Path:
        wanted = {"revision": settings.model_commit, "allow_patterns": list(patterns), "ignore_patterns": list(_LEFT)}
        return Path(snapshot_download(settings.model, tqdm_class=Bar, **wanted))

    try:
        folder = fetch(*_FETCHED, *(["*.py"] if settings.trust_remote_code else []))
        if not any(folder.glob("*.safetensors")):
            # The older format, for models that come in no other.
            fetch("*.bin")
    except Aborted:
        raise
    except Exception as error:
        raise UsageError(_unavailable(settings, error)) from error


def _placement(settings: Settings, dtype: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if settings.quantization == "bnb_4bit":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if dtype == "auto" else getattr(torch, dtype),
        )
    # Without an accelerator there is nothing to spread over, and accelerate's hooks would cost time on every call.
    if torch.accelerator.is_available() or settings.device_map != "auto":
        options["device_map"] = settings.device_map
        if settings.max_memory:
            options["max_memory"] = {int(k) if k.isdigit() else k: v for k, v in settings.max_memory.items()}
    return options


def _hub(settings: Settings) -> dict[str, Any]:
    return {"revision": settings.model_commit, "trust_remote_code": settings.trust_remote_code}


def _refuse_offloaded(network: torch.nn.Module) -> None:
    offloaded = sum(p.device.type == "meta" for p in network.parameters())
    if offloaded:
        raise UsageError(
            f"{offloaded} weights did not fit on the devices and would be swapped in and out: "
            "use --quantization bnb_4bit, raise --max-memory, or rent a larger GPU"
        )


def _one_token_test(model: ChatModel) -> None:
    batch = model.batch([0], model.encode([Prompt("Hello", "")]))
    with torch.inference_mode():
        logits = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
    if not torch.isfinite(logits).any() or torch.isnan(logits).any():
        raise FloatingPointError("the model's logits are not finite numbers")


def _unavailable(settings: Settings, error: Exception) -> str:
    where = f"model {settings.model}" + (f" at commit {settings.model_commit}" if settings.model_commit else "")
    text = one_line(error)
    if "trust_remote_code" in str(error):
        return f"{where} brings code of its own: read it, then allow it with --trust-remote-code"
    if "is not a local folder" in str(error) or "Repository Not Found" in str(error) or "404" in text:
        return f"{where} was not found, neither as a folder nor on the Hub (a private or gated one needs HF_TOKEN)"
    if "We couldn't connect" in str(error) or "offline" in text.lower() or "resolve" in text.lower():
        return f"{where} is not in the local cache, and the Hub cannot be reached: {text}"
    return f"{where} cannot be loaded: {text}"
