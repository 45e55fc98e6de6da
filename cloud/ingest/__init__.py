"""What gateways say becomes stored readings, an alarm log, cases and messages; then it is acknowledged."""
