"""Modbus over a serial line and over TCP: frames, and the map between registers and metrics."""
