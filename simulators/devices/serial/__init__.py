"""Serial nodes and meters."""
