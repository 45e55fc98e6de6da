"""The way to the cloud: one MQTT connection, and no forgetting before the cloud's own word."""
