"""Everything the user can set."""
