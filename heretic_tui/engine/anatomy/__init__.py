"""What writes to the residual stream."""
