"""From a folder or a Hub id to a chat model in memory: checks without weights, the dtype ladder, 4-bit, devices."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download, snapshot_download
from tqdm import tqdm
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    PretrainedConfig,
)
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.base import get_keys_to_not_convert
from transformers.quantizers.quantizers_utils import should_convert_module

from heretic_tui.engine.bars import bars_as_progress
from heretic_tui.engine.checkpoint import (
    few,
    packed_layout,
    refuse_adapter,
    refuse_no_weights,
    refuse_pointers,
    stored_tensors,
)
from heretic_tui.engine.control import Aborted, Control
from heretic_tui.engine.events import Emit, Notice
from heretic_tui.engine.finite import weights_not_finite
from heretic_tui.engine.json_files import check_json_files
from heretic_tui.engine.limits import find_limits
from heretic_tui.engine.memory import free_memory
from heretic_tui.engine.misfit import Report, build_empty, refuse_misfit, try_on
from heretic_tui.engine.model import ChatModel, out_of_memory
from heretic_tui.engine.progress import reporter
from heretic_tui.engine.prompts import Prompt
from heretic_tui.engine.suitability import model_class, refuse_packed, refuse_unsuitable
from heretic_tui.engine.tokenizer_files import check_tokenizer_files, template_beside, template_files, tokenizer_problem
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.runtime.files import read_bytes, user_path
from heretic_tui.runtime.text import quoted
from heretic_tui.settings import Settings

_SAMPLE = 1 << 20
# A matrix of another size fails in bitsandbytes' products on CPUs that multiply bfloat16.
_CPU_ROWS, _CPU_COLUMNS = 32, 64

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
    tensors = stored_tensors(folder)
    if packed := packed_layout(folder, tensors):
        refuse_packed(*packed)
    # What code of the model's own makes of names is seen when it loads; so is a file that only its configuration names.
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


def load_model(
    settings: Settings, emit: Emit, control: Control, tokenizer: Any | None = None, dtypes: Sequence[str] = ()
) -> tuple[ChatModel, str]:
    """Load with the first dtype of the ladder with which both loading and a one-token test work.

    Args:
        dtypes: the rest of the ladder, where its upper part is known to fail; empty for all of the settings' own.

    Returns the model, and the word of the ladder that it was loaded with.

    Raises:
        UsageError: no such model, weights that are not what its configuration says, or that do not fit on the devices.
        HereticError: when no dtype works; the reason for each is in the message.
    """
    tokenizer = tokenizer or load_tokenizer(settings)
    config = load_config(settings)
    if _download(settings, emit, control):
        check_weights(settings, config)
    _see_device(settings.device_map)
    failures: dict[str, list[str]] = {}
    for dtype in dtypes or settings.dtypes:
        found = _attempt(settings, config, tokenizer, dtype, emit, control)
        if isinstance(found, ChatModel):
            return found, dtype
        # The next attempt needs the memory that this one held. Nothing refers to it any more: it was one function.
        free_memory()
        failures.setdefault(found, []).append(dtype)
        emit(Notice(level="warning", text=f"loading as {dtype} failed: {found}"))
    # What has nothing to do with the dtype is said once.
    reasons = "; ".join(f"{', '.join(tried)}: {reason}" for reason, tried in failures.items())
    raise HereticError(f"{settings.model} could not be loaded with any dtype; {reasons}")


def _see_device(name: str) -> None:
    """Raise a UsageError for a device that is none, or that this machine does not have."""
    if name in _SPREAD:
        return
    try:
        torch.empty(0, device=name)
    except Exception as error:
        raise UsageError(
            f"device_map: {quoted(name)} cannot be used here ({one_line(error)}): give {', '.join(_SPREAD)} or a "
            "device such as cpu or cuda:0"
        ) from error


def _attempt(
    settings: Settings, config: PretrainedConfig, tokenizer: Any, dtype: str, emit: Emit, control: Control
) -> ChatModel | str:
    """One attempt at loading: the model, or why it failed. An error would hold what was loaded, so a text is returned.

    Raises:
        UsageError: for what no other dtype makes better.
        Aborted: from the control.
    """
    try:
        with bars_as_progress(emit, control):
            network, info = model_class(config).from_pretrained(
                locate(settings.model),
                dtype=dtype,
                # They are refused below, by name.
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **_placement(settings, config, dtype, emit),
                **_hub(settings),
            )
        left_out = refuse_misfit(network, Report.of(network, info))
        _refuse_offloaded(network)
        fine, post_norms = settings.component_kinds == "fine", settings.account_for_post_norm
        model = ChatModel(network, tokenizer, emit, control, fine, post_norms)
        _refuse_blank(network, model.anatomy.layers)
        _one_token_test(model)
        find_limits(model, emit)
    except (UsageError, Aborted):
        raise
    except Exception as error:
        if isinstance(error, OSError):
            raise UsageError(_unavailable(settings, error)) from error
        log.info("loading as %s failed", dtype, exc_info=True)
        hint = " (out of memory: try --quantization bnb_4bit)" if out_of_memory(error) else ""
        return f"{one_line(error)}{hint}"
    if left_out:
        names = few(left_out)
        emit(Notice(text=f"{type(network).__name__} leaves out {len(left_out)} tensors of the weights: {names}"))
    return model


# Ways to spread layers over all devices.
_SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")
# What a model folder on the Hub may hold besides, in other formats, is not fetched.
_FETCHED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
_LEFT = ("*/*", "consolidated*")


def _download(settings: Settings, emit: Emit, control: Control) -> bool:
    """Fetch a Hub model's files, with progress; loading would fetch them in silence. False for a folder, for which
    there is nothing to do."""
    if Path(locate(settings.model)).is_dir():
        return False
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
    return True


def _placement(settings: Settings, config: PretrainedConfig, dtype: str, emit: Emit) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if settings.quantization == "bnb_4bit":
        whole = None if torch.accelerator.is_available() else _odd_matrices(settings, config, emit)
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if dtype == "auto" else getattr(torch, dtype),
            llm_int8_skip_modules=whole,
        )
    # Without an accelerator there is nothing to spread over, and accelerate's hooks would cost time on every call.
    if torch.accelerator.is_available() or settings.device_map != "auto":
        options["device_map"] = settings.device_map
        if settings.max_memory:
            options["max_memory"] = {int(k) if k.isdigit() else k: v for k, v in settings.max_memory.items()}
    return options


def _odd_matrices(settings: Settings, config: PretrainedConfig, emit: Emit) -> list[str] | None:
    """What is left unquantised on a CPU: what bitsandbytes would leave by itself, and matrices whose sizes its products
    there cannot be taken with. None where there are none of the latter."""
    network = build_empty(config, settings.trust_remote_code)
    usual = get_keys_to_not_convert(network)
    matrices = [
        (name, (module.nf, module.nx) if isinstance(module, Conv1D) else (module.out_features, module.in_features))
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and should_convert_module(name, usual)
    ]
    odd = [name for name, (rows, columns) in matrices if rows % _CPU_ROWS or columns % _CPU_COLUMNS]
    if not odd:
        return None
    emit(
        Notice(
            level="warning",
            text=f"{len(odd)} of {len(matrices)} matrices are left unquantised, such as {odd[0]}: on a CPU "
            f"bitsandbytes takes rows in multiples of {_CPU_ROWS} and columns in multiples of {_CPU_COLUMNS}",
        )
    )
    return [*usual, *(f"^{re.escape(name)}$" for name in odd)]


def _hub(settings: Settings) -> dict[str, Any]:
    return {"revision": settings.model_commit, "trust_remote_code": settings.trust_remote_code}


def _refuse_offloaded(network: torch.nn.Module) -> None:
    offloaded = sum(p.device.type == "meta" for p in network.parameters())
    if offloaded:
        raise UsageError(
            f"{offloaded} weights did not fit on the devices and would be swapped in and out: "
            "use --quantization bnb_4bit, raise --max-memory, or rent a larger GPU"
        )


def refuse_broken(network: torch.nn.Module) -> None:
    """For a model that gives no numbers: no other dtype helps where its weights are none.

    Raises:
        UsageError: naming the weights that hold NaN or infinity.
    """
    if broken := weights_not_finite(network):
        raise UsageError(
            f"the weights hold what is no number (NaN or infinity), in {few(broken)}: they were damaged on the way, or "
            "in training or merging; take another copy or version of the model"
        )


def _refuse_blank(network: torch.nn.Module, layers: Iterable[torch.nn.Module]) -> None:
    """What a download leaves that reserved its space and did not get to the end.

    Raises:
        UsageError: when all matrices of a layer, or the embedding, hold nothing but zeros.
    """
    blank = [f"layer {at}" for at, layer in enumerate(layers) if _is_blank(layer)]
    if _is_blank(network.get_input_embeddings()):  # type: ignore[operator]
        blank.insert(0, "the embedding")
    if blank:
        raise UsageError(
            f"the weights hold nothing but zeros in {few(blank)}: their file is not whole; download the model again"
        )


def _is_blank(module: torch.nn.Module) -> bool:
    matrices = [weight for weight in module.parameters() if weight.ndim > 1 and weight.is_floating_point()]
    # Nearly always the first few tell.
    return bool(matrices) and not any(weight[:1].any() or weight.any() for weight in matrices)


def _one_token_test(model: ChatModel) -> None:
    batch = model.batch([0], model.encode([Prompt("Hello", "")]))
    with torch.inference_mode():
        logits = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
    if not torch.isfinite(logits).any() or torch.isnan(logits).any():
        refuse_broken(model.network)
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
