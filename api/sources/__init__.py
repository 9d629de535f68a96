"""Where candidates come from; one source a file. Bits of provenance follow the literal's order."""
