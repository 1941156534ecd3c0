"""What goes into a run: prompts, and whether their text reaches the model."""
