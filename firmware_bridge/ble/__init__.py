"""Bluetooth Low Energy: advertisements, values of characteristics, and the maintenance door's frames."""
