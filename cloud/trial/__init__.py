"""Trying a rule on what was recorded: what it would have raised, by the gateway's own engine."""
