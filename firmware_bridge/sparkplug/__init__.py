"""Sparkplug B: the payload, its topics, and the state of an edge node."""
