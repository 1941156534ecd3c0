"""All that the user can set: names, defaults, ranges, descriptions.

A setting is one field of `Settings`: its flag, its environment variable, its TOML key and its row on Setup come from
here. Settings of one group are next to each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

from heretic_tui.behaviour import REFUSALS_NAME, Behaviour, behaviour_of, checked_behaviour
from heretic_tui.bounds import BOUNDS, DEFAULT_SPACE, SPACES, checked_bounds
from heretic_tui.commands import MOST_TRIALS
from heretic_tui.errors import UsageError
from heretic_tui.figures import EXPECTED_REFUSALS
from heretic_tui.files import default_runs_dir
from heretic_tui.plugins import CHECKS, DIRECTION_METHODS, EDIT_METHODS, JUDGES, METRICS, Kind, names
from heretic_tui.settings.in_text import names_in, pairs_in, table_in, texts_in
from heretic_tui.settings.markers import MARKERS_BY_LANGUAGE, REFUSAL_MARKERS, RefusalLanguage
from heretic_tui.settings.prompt_sets import DEFAULT_SETS, PromptSet
from heretic_tui.words import quoted

# What a response that thinks begins with, and the block that is put in its place so that it does not.
THINKING_SKIPS = (
    ("<think>", "<think></think>"),
    (
        "<|channel|>analysis<|message|>",
        "<|channel|>analysis<|message|><|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    ("<thought>", "<thought></thought>"),
    ("[THINK]", "[THINK][/THINK]"),
)


def _all_checks() -> list[str]:
    return list(names(CHECKS))


def _default_runs_dir() -> str:
    return str(default_runs_dir())


# A number and a unit.
_SIZE = r"[0-9]{1,9}(\.[0-9]{1,9})?\s*[KMGT]i?B"


def _setting(default: object, group: str, description: str, **rules: Any) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A field of `Settings`; `rules` are pydantic's: ge, gt, le, lt, min_length. A callable default is called."""
    given = {"default_factory": default} if callable(default) else {"default": default}
    return Field(description=description, json_schema_extra={"group": group}, **given, **rules)


class Settings(BaseModel):
    """The whole configuration of a run. Every field is a flag, an environment variable and a TOML key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = _setting("", "Model", "folder or Hub id of a chat model")
    model_commit: str | None = _setting(None, "Model", "commit, branch or tag of a Hub model")
    dtypes: list[Literal["auto", "float16", "bfloat16", "float32"]] = _setting(
        ["auto", "float16", "bfloat16", "float32"], "Model", "dtypes to try in order until one works", min_length=1
    )
    quantization: Literal["none", "bnb_8bit", "bnb_4bit"] = _setting(
        "none",
        "Model",
        "weights by bitsandbytes: bnb_8bit (about half of the memory), bnb_4bit (NF4, about a third); figures differ",
    )
    device_map: str = _setting("auto", "Model", "where the layers go: auto, balanced, sequential, or one device")
    max_memory: dict[str, str] | None = _setting(
        None, "Model", "most memory to use on each device, such as 0=20GiB cpu=60GiB"
    )
    trust_remote_code: bool = _setting(False, "Model", "run the model's own Python code; read it first")

    good_prompts: PromptSet = _setting(
        DEFAULT_SETS["good_prompts"], "Prompts", "prompts answered without the behaviour, for the directions"
    )
    bad_prompts: PromptSet = _setting(
        DEFAULT_SETS["bad_prompts"],
        "Prompts",
        "prompts answered with the behaviour (refused, by default), for the directions",
    )
    good_evaluation_prompts: PromptSet = _setting(
        DEFAULT_SETS["good_evaluation_prompts"], "Prompts", "prompts that KL divergence is measured on"
    )
    bad_evaluation_prompts: PromptSet = _setting(
        DEFAULT_SETS["bad_evaluation_prompts"], "Prompts", "prompts that the behaviour is counted on"
    )

    system_prompt: str = _setting("You are a helpful assistant.", "Responses", "system prompt; empty: none")
    max_response_length: int = _setting(100, "Responses", "most tokens of a response", ge=1, le=4096)
    response_prefix: str | None = _setting(
        None, "Responses", "text that every response begins with; unset: found out; empty: none"
    )
    chain_of_thought_skips: list[tuple[str, str]] = _setting(
        list(THINKING_SKIPS), "Responses", "thinking openers and the closed block put in their place, as OPENER=>BLOCK"
    )
    behaviour: str = _setting(
        REFUSALS_NAME,
        "Responses",
        "what the judge tells: refusals, or a behaviour of your own in the plural, perhaps with both verdicts ('long "
        "answers: long / short'); screens, reports and cards speak of it",
    )
    judge: Annotated[str, JUDGES] = _setting("markers", "Responses", "what says whether a response shows the behaviour")
    refusal_markers: list[str] = _setting(
        list(REFUSAL_MARKERS), "Responses", "strings that show the behaviour in a response (lower case)", min_length=1
    )
    refusal_languages: list[RefusalLanguage] = _setting(
        [],
        "Responses",
        "languages whose built-in markers of refusals count beside `refusal_markers`, which are English by default",
    )
    count_broken_as_refused: bool = _setting(
        True,
        "Responses",
        "count a response that repeats itself, says nothing or is garbage against a trial (as refused, by default), so "
        "that none looks good by breaking",
    )

    steer: Literal["remove", "add"] = _setting(
        "remove",
        "Ablation",
        "take the direction out (weights above 0), or add to what is written along it (weights below 0): then what is "
        "counted, and made small, are prompts without the behaviour",
    )
    direction_method: Annotated[list[str], DIRECTION_METHODS] = _setting(
        ["mean_difference"],
        "Ablation",
        "how directions are found in the residuals of both sets; of several the search tries which is best",
        min_length=1,
    )
    directions_per_layer: int = _setting(
        1, "Ablation", "directions of each layer, for methods that can give several", ge=1, le=16
    )
    keep_prompts: list[str] = _setting(
        [], "Ablation", "sets of prompts whose direction is to be kept (ridge_cleaned): files, or Hub data sets"
    )
    direction_file: str | None = _setting(
        None, "Ablation", "safetensors file with directions (from_file): those of another run, or somebody else's"
    )
    layer_mask: bool = _setting(
        False, "Ablation", "edit only layers in which the two sets lie on different sides along the direction"
    )
    orthogonalize_direction: bool = _setting(
        True, "Ablation", "leave alone what directions share with the mean of the good prompts"
    )
    direction_weights: Literal["together", "each"] = _setting(
        "together",
        "Ablation",
        "where a layer has several directions: all with one weight, or each with one of its own that is searched",
    )
    edit_method: Annotated[str, EDIT_METHODS] = _setting(
        "norm_preserving", "Ablation", "how a direction is taken out of a matrix"
    )
    component_kinds: Literal["coarse", "fine"] = _setting(
        "coarse", "Ablation", "kernels for token mixers and MLPs; fine: one for each kind of attention and expert"
    )
    account_for_post_norm: bool = _setting(
        True, "Ablation", "where a norm follows a matrix, take out what the norm makes the direction of"
    )
    full_normalization_lora_rank: int = _setting(
        3, "Ablation", "rank of a plain LoRA adapter where only DoRA is exact (norm_preserving)", ge=1, le=512
    )
    winsorization_quantile: float = _setting(
        1.0, "Ablation", "clamp each residual to this quantile of its magnitudes; 1 = off", gt=0.5, le=1.0
    )

    keep_residuals: bool = _setting(
        True, "Analysis", "keep all residuals in the run folder (float16), for geometry and plots after the run"
    )
    layer_test_prompts: int = _setting(
        16,
        "Analysis",
        "evaluation prompts of each kind that every layer is tried on by itself, with each direction method; 0 = none",
        ge=0,
        le=10_000,
    )

    objectives: Annotated[list[str], METRICS] = _setting(
        ["kl_divergence", "refusals"],
        "Search",
        "the two figures that are to be small; those of reviews (kl_of_answers, sampled_refusals, changed_answers, "
        "benchmark) cost a check for each trial",
        min_length=2,
        max_length=2,
    )
    figures: Annotated[list[str], METRICS] = _setting(
        [], "Search", "further figures of a trial, which are only shown; those of reviews cost a check for each trial"
    )
    n_trials: int = _setting(200, "Search", "number of trials", ge=1, le=MOST_TRIALS)
    n_startup_trials: int = _setting(60, "Search", "random trials before TPE begins", ge=1, le=MOST_TRIALS)
    seed: int | None = _setting(None, "Search", "seed of the search; unset: drawn, and stored", ge=0, lt=2**31)
    search_space: str = _setting(
        DEFAULT_SPACE,
        "Search",
        f"bounds of what is searched: {', '.join(SPACES)}, or a TOML file with some of them (base = the space that "
        "has the others)",
        min_length=1,
    )
    search_bounds: dict[str, tuple[float, float]] = _setting(
        dict,
        "Search",
        f"single bounds in place of those of the space, as NAME=LOW..HIGH: {', '.join(BOUNDS)}",
    )
    seed_trials: list[str] = _setting(
        [],
        "Search",
        "trials that are measured first: edit files, run:NAME (the front of a run), folders or files of exports, model "
        "cards with parameters, built-in",
    )
    on_top_of: str | None = _setting(
        None,
        "Search",
        "edit that the search is on top of, as RUN:TRIAL: directions are found anew on the model that it leaves, and "
        "trials are compared with the original model; `run --from` takes the settings of that run too",
    )
    early_stop: bool = _setting(
        True, "Search", "decode a trial no further once it is certain to be dominated by another"
    )
    screening: Literal["off", "safe", "fast"] = _setting(
        "safe",
        "Search",
        "decode only trials that could be on the front by cheap estimates: all within two standard errors of it (safe) "
        "or one (fast); off = every trial",
    )
    storage: str | None = _setting(None, "Search", "Optuna storage URL; unset: a journal in the run folder")

    review_good_prompts: PromptSet = _setting(
        DEFAULT_SETS["review_good_prompts"],
        "Review",
        "good prompts held out from directions and search; empty: what these leave of their data sets",
    )
    review_bad_prompts: PromptSet = _setting(
        DEFAULT_SETS["review_bad_prompts"],
        "Review",
        "bad prompts held out from directions and search; empty: what these leave of their data sets",
    )
    review_lookalike_prompts: PromptSet = _setting(
        DEFAULT_SETS["review_lookalike_prompts"], "Review", "prompts that only look harmful (such as XSTest)"
    )
    review_texts: PromptSet = _setting(DEFAULT_SETS["review_texts"], "Review", "texts whose perplexity is measured")
    review_checks: Annotated[list[str], CHECKS] = _setting(
        _all_checks, "Review", "what is found out of finalists", min_length=1
    )
    review_language_column: str = _setting(
        "language",
        "Review",
        "column with the language of held-out prompts, by which counts are told too",
    )
    review_expected_column: str | None = _setting(
        None, "Review", "column that says of prompts that look harmful whether they should be answered (safe, unsafe)"
    )
    review_samples: int = _setting(8, "Review", "answers that are drawn for each held-out prompt", ge=1, le=256)
    review_kl_tokens: int = _setting(
        8, "Review", "tokens of the original model's answers that KL divergence is measured over", ge=1, le=64
    )
    review_classifier: str | None = _setting(
        None, "Review", "text-classification model (folder or Hub id) that judges responses beside the markers"
    )
    review_classifier_labels: dict[str, Literal["refused", "evaded", "answered", "nonsense"]] = _setting(
        dict, "Review", "what its labels mean: LABEL=refused, evaded, answered or nonsense"
    )
    review_classifier_reads: str = _setting(
        "{response}", "Review", "what it is handed, with {response} and perhaps {prompt} in it"
    )
    review_endpoint: str | None = _setting(
        None, "Review", "OpenAI-compatible endpoint that judges responses, such as http://localhost:8000/v1"
    )
    review_endpoint_model: str = _setting("", "Review", "the model that the endpoint is asked for")
    review_endpoint_key: str | None = _setting(
        None, "Review", "environment variable that holds the endpoint's key; the key itself is never written"
    )
    review_endpoint_requests: int = _setting(8, "Review", "requests to the endpoint at once", ge=1, le=256)
    review_tasks: list[str] = _setting(
        [], "Review", "benchmarks of lm-evaluation-harness: quick, standard, or TASK or TASK=ITEMS each"
    )
    review_task_folder: str | None = _setting(
        None, "Review", "folder of further tasks (YAML files and their data); Python that these name is run"
    )
    review_task_chat: bool = _setting(False, "Review", "put the items of tasks into the model's chat template")

    batch_size: int = _setting(0, "Run", "prompts in one batch; 0 = find out", ge=0, le=100_000)
    max_batch_size: int = _setting(128, "Run", "largest batch to try when finding out", ge=1, le=MOST_TRIALS)
    trials_at_once: int = _setting(
        0, "Run", "trials whose prompts share a batch; 0 = as many as keep it full", ge=0, le=64
    )
    workers: str = _setting(
        "0",
        "Run",
        "processes that measure trials, each with a model of its own (Ray); auto: one for each GPU; 0: this one",
    )
    worker_gpus: float = _setting(
        1.0,
        "Run",
        "GPUs of one worker: a fraction of one that several share, or several for a large model",
        gt=0,
        le=64,
    )
    ray_address: str | None = _setting(
        None,
        "Run",
        "Ray cluster that the workers run on; unset: one on this machine that is started and ended with them",
    )
    runs_dir: str = _setting(_default_runs_dir, "Run", "folder that holds the runs")
    max_shard_size: str = _setting("5GB", "Run", "largest weight file of an export, such as 5GB or 500MB")

    @property
    def behaviour_in_words(self) -> Behaviour:
        """What the judge tells, and whether it is taken out or added, in words."""
        return behaviour_of({"behaviour": self.behaviour, "steer": self.steer})

    @field_validator("*", mode="before")
    @classmethod
    def _number(cls, value: object, info: ValidationInfo) -> object:
        # `true` is no 1, and what is longer than any number here is not for a library to convert.
        assert info.field_name
        numeric = {int, float} & kinds_of(cls.model_fields[info.field_name])
        if numeric and (isinstance(value, bool) or (isinstance(value, int) and value.bit_length() > 64)):
            raise ValueError
        return value

    @field_validator("*")
    @classmethod
    def _method(cls, value: object, info: ValidationInfo) -> object:
        assert info.field_name
        if kind := method_kind(cls.model_fields[info.field_name]):
            known = names(kind)
            if not all(name in known for name in (value if isinstance(value, list) else [value])):
                raise ValueError
        return value

    @field_validator("objectives")
    @classmethod
    def _measured(cls, value: list[str]) -> list[str]:
        if EXPECTED_REFUSALS in value:
            raise ValueError
        return value

    _names = field_validator(
        *("dtypes", "objectives", "figures", "refusal_languages", "review_checks", "review_tasks", "direction_method"),
        mode="before",
    )(names_in)
    # A marker may hold a comma, and so may the name of a file.
    _texts = field_validator("refusal_markers", "keep_prompts", "seed_trials", mode="before")(texts_in)

    @field_validator("behaviour", mode="before")
    @classmethod
    def _behaviour(cls, value: object) -> object:
        return _with_reason(checked_behaviour, value)

    @field_validator("search_bounds", mode="before")
    @classmethod
    def _bounds(cls, value: object) -> object:
        return _with_reason(checked_bounds, value)

    @field_validator("direction_method", "keep_prompts", "objectives", "seed_trials")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if twice := next((each for place, each in enumerate(value) if each in value[:place]), None):
            raise ValueError(f"{quoted(twice)} is given twice: name each once")
        return value

    @field_validator("review_tasks")
    @classmethod
    def _tasks(cls, value: list[str]) -> list[str]:
        if not all(re.fullmatch(r"[^=]+(=0*[1-9][0-9]{0,8})?", task, re.ASCII) for task in value):
            raise ValueError
        return value

    @field_validator("refusal_languages")
    @classmethod
    def _in_order(cls, value: list[RefusalLanguage]) -> list[RefusalLanguage]:
        # The same languages are the same run.
        return [language for language in MARKERS_BY_LANGUAGE if language in value]

    _pairs = field_validator("chain_of_thought_skips", mode="before")(pairs_in)
    _table = field_validator("max_memory", "review_classifier_labels", mode="before")(table_in)

    @field_validator("max_memory")
    @classmethod
    def _sizes(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        # None of a device may be used, but not less.
        if value and not all(re.fullmatch(_SIZE, amount, re.IGNORECASE) for amount in value.values()):
            raise ValueError
        return value

    @field_validator("workers", mode="before")
    @classmethod
    def _count(cls, value: object) -> object:
        text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
        if text != "auto" and not re.fullmatch(r"[0-9]{1,3}", text, re.ASCII):
            raise ValueError
        return text if text == "auto" else str(int(text))

    @field_validator("max_shard_size")
    @classmethod
    def _size(cls, value: str) -> str:
        if not re.fullmatch(_SIZE, value, re.IGNORECASE) or not re.search("[1-9]", value):
            raise ValueError
        return value

    @field_validator("on_top_of")
    @classmethod
    def _trial(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r".*\S.*:[0-9]{1,9}", value, re.ASCII):
            raise ValueError
        return value

    @field_validator("runs_dir")
    @classmethod
    def _place(cls, value: str) -> str:
        # An empty path is the working folder.
        if not value.strip():
            raise ValueError
        return value

    @model_validator(mode="before")
    @classmethod
    def _fill_sets(cls, data: object) -> object:
        """A set given in parts takes the other parts from its default; one with a dataset of its own does not."""
        if isinstance(data, dict):
            for name, default in DEFAULT_SETS.items():
                given = data.get(name)
                if isinstance(given, dict) and "dataset" not in given:
                    data = {**data, name: {**default.model_dump(), **given}}
        return data


def _with_reason(check: Callable[[object], object], value: object) -> object:
    """What a check makes of a value. Where it says why it cannot be, that is what is told of it, with the setting and
    where the value is from (settings/sources.py); of other values it is told what the setting expects."""
    try:
        return check(value)
    except UsageError as error:
        raise ValueError(str(error)) from error


def of_reviews(name: str) -> bool:
    """Whether a setting is one of reviews, which come after a search and change nothing in it."""
    return name.startswith("review_")


def method_kind(field: FieldInfo) -> Kind | None:
    """The kind of method that a setting names one of, or several; None for other settings."""
    return next((rule for rule in field.metadata if isinstance(rule, Kind)), None)


def kinds_of(field: FieldInfo) -> set[object]:
    """The types that a field takes, without what lists and tables hold."""
    annotation = field.annotation
    inner = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return {get_origin(kind) or kind for kind in inner}
