"""Second opinions: a file for each kind of judge beside the markers."""
