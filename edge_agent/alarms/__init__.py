"""Alarms, judged on the gateway: a pure function of what was heard and of a small state per device."""
