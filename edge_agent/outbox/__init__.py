"""What the gateway has said and the cloud has not yet acknowledged: one SQLite file, numbered and accounted for."""
