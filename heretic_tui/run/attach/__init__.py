"""Control of a run from another terminal of the same user, through a Unix socket in the run folder."""
