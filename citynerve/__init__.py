"""The command line and the one-machine demo; imports the rooms lazily and holds no logic."""
