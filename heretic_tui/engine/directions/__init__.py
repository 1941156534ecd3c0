"""From residuals to directions."""
