"""The whole city on one page: what the wall shows, counted at most once in five seconds whoever asks."""
