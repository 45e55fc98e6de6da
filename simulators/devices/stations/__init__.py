"""Stations that dial the gateway."""
