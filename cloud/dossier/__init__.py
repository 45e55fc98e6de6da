"""What a case rests on, and what is handed out of it: the measured values, a signed export, a printed sheet."""
