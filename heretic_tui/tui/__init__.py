"""The screens. Nothing here imports torch, transformers or optuna."""
