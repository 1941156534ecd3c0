"""Runs and events as text for people."""
