"""What is found out about a few chosen edits after the search: each check is a file."""
