"""A bootloader and its flash."""
