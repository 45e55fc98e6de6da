"""Modbus units and what carries them."""
