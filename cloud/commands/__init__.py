"""Orders to devices: who asked, who agreed, what was sent, and what became of it."""
