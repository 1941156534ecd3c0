"""Networks that are made and loaded on several threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from transformers import AutoConfig, AutoModelForCausalLM

from heretic_tui.demo.settings import FOLDER
from heretic_tui.engine.checkpoint.misfit import build_empty, with_report


def test_a_look_at_a_model_does_not_disturb_one_that_is_loaded() -> None:
    model = str(FOLDER / "model")
    config = AutoConfig.from_pretrained(model)

    def load(turn: int) -> list[str]:
        if turn % 2:
            build_empty(config, trust_remote_code=False)
            return []
        _, info = with_report(AutoModelForCausalLM)(model, output_loading_info=True)
        return sorted(info["missing_keys"])

    with ThreadPoolExecutor(4) as threads:
        assert not [missing for missing in threads.map(load, range(24)) if missing]
