"""From a trial to files."""
