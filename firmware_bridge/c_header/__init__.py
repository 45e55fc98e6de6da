"""A profile as a C99 header, for the people who write the device's firmware."""

from firmware_bridge.c_header.header import c_header

__all__ = ["c_header"]
