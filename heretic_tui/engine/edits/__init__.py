"""From parameters to a live edit."""
