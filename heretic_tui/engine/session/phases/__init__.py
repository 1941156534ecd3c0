"""The course of a run: one file a phase."""
