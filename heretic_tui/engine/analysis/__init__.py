"""What the directions are, do and say."""
