"""DL/T 645 electricity meters: the 2007 standard, and the 1997 one where its control codes give it away."""
