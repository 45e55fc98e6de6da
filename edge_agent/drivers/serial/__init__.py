"""Serial lines: binary frames and lines of text by profile, and meters that are read in rounds."""
