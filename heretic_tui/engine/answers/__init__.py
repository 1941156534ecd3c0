"""What an answer is worth as a text: whether it is broken, and how. No model is needed to say it."""
