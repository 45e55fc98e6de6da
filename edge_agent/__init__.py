"""The daemon on a gateway: drivers do I/O, a straight pipeline does the rest, an outbox keeps it, an uplink sends it."""
