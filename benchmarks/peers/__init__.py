"""The product beside its best-known peer: the same devices, broker, link and faults, at the same time."""
