"""What is written of a check can be sent to anybody."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from heretic_tui.doctor.bench import HEAD, Part, report, row, without_names
from heretic_tui.doctor.probe import Finding
from heretic_tui.machine import Gpu, MachineSample

RESULT: dict[str, Any] = {
    "name": "demo", "dtype": "float32", "batch_size": 128, "tokens_per_second": 9000.0, "fast": True, "edits": 4,
    "responses": 256, "verdicts_apart": 0, "texts_apart": 1, "kl_apart": 2e-7, "fast_seconds": 2.0,
    "plain_seconds": 8.0, "memory": 10**9, "exact": True,
}  # fmt: skip


def test_no_name_no_path_and_no_token_is_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")
    host = socket.gethostname()
    findings = [
        Finding(name="torch", state="fix", said=f"/home/ada/env/lib/libcudart.so of {host} is not found, ada"),
        Finding(name="Hub", state="ok", said="huggingface.co is reached, logged in as ada"),
        Finding(name="runs", state="ok", said="/home/ada/runs"),
    ]
    parts = [Part(name="demo", problem=without_names(f"cannot read {os.getcwd()}/x.json with hf_AbCd1234567"))]
    sample = MachineSample(time=0, host=host, load=1.0, cores=2, used=1, total=2, gpus=(Gpu(index=0, name="H100"),))
    written = json.dumps(report(findings, sample, parts, 1.0), ensure_ascii=False)
    assert "libcudart.so" in written
    assert '"Hub": "ok"' in written
    assert "H100" in written
    for secret in ("ada", host, "/home", os.getcwd(), "hf_AbCd", str(Path.home())):
        assert secret not in written


def test_the_table() -> None:
    good = row(Part(name="demo", result=RESULT))
    assert good.split() == [
        "demo", "float32", "128", "9,000", "0.50", "s", "2.00", "s", "2.0e-07", "1/256", "1", "GB",
    ]  # fmt: skip
    assert len(HEAD) == len(good)
    wrong = Part(name="demo", result={**RESULT, "exact": False})
    assert wrong.failed
    assert row(wrong).endswith("NOT EXACT")
    left_out = Part(name="random 1B", quantization="bnb_4bit", problem="left out: the two minutes are over")
    assert not left_out.failed
    assert row(left_out) == "random 1B   4 bits   left out: the two minutes are over"
