"""Firmware updates over real transports: one runner, and for each language the few calls that a session's actions are."""
