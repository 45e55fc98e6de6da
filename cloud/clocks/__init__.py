"""The clocks of cases: which time counts, when a limit is over, how much of it is spent. No I/O but the calendar's file."""
