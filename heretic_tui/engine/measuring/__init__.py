"""Trials measured."""
