"""Modbus over TCP and serial lines: one request at a time, each reply to whom it was asked of."""
