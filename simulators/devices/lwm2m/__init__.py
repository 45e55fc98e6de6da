"""An LwM2M client."""
