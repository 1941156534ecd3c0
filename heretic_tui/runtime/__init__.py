"""Between engine and screen: the run folder, its journal, and the state folded from events."""
