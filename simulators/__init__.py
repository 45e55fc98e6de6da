"""Devices that speak the real languages over real sockets and ptys, whole cities of them, and faults, record and replay."""
