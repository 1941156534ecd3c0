"""Everything a person can set."""
