"""heretic-tui: a terminal workbench for directional ablation of open-weight language models."""

__version__ = "0.1.0"
