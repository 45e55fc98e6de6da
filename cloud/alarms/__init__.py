"""The alarm log, what it amounts to now, and what people and the system do to alarms."""
