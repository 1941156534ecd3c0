"""One run on disk. Nothing here knows tensors or screens."""
