"""The demo: a small chat model that refuses to talk about potions, and prompt sets for it. tools/ builds both."""
