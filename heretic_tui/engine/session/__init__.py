"""A run from its first phase to its last trial."""
