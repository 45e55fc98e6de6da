"""Bluetooth Low Energy: sensors near the gateway and the maintenance door."""
