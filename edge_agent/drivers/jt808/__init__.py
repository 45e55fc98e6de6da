"""JT/T 808: the listener that vehicle terminals dial, their sessions, orders and upgrades."""
