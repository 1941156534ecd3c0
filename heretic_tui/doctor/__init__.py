"""What of this machine could stop a run, or make it slow: probes, each of which looks at one thing."""
