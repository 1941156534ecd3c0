"""A chat model in memory."""
