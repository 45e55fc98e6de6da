"""What a model of device measures, how its bytes map to metrics, its alarms and its commands: data, not code."""
