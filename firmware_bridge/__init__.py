"""The languages of device firmware, sans-IO: bytes in, messages out, and back. No sockets, no clock, no logging."""
