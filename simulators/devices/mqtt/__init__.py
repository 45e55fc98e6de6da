"""Devices that publish."""
