"""A manhole cover, with a modem of its own or without."""
