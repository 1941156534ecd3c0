"""Widgets of the project's own: cheap to repaint, and safe for any text."""
