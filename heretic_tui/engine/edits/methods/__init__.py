"""One file a way of taking a direction out of a matrix."""
