"""Devices that publish to a broker."""
