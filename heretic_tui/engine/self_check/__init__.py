"""What torch and bitsandbytes can do on this machine, found out by doing it."""
