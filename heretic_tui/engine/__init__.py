"""All the computing: no screens, no printing; what happens is told through events."""
