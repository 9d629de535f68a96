"""The commands, one a file, each thin."""
