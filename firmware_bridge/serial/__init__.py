"""Serial devices by profile alone: binary frames, lines of text, and their checksums."""
