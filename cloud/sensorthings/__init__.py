"""OGC SensorThings API 1.1 (OGC 18-088) over the devices and their values."""
