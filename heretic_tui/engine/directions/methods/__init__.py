"""One file a method of finding directions."""
