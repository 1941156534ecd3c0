"""Trials measured by workers: what each is given, what it does, and how they are started."""
