"""A vehicle terminal."""
