"""Firmware updates, sans-IO: signed packages, what devices say of themselves, and the session that leads one to a new image."""
