"""Time series: one small protocol, the embedded DuckDB store and the InfluxDB store behind it."""
