"""From columns to one score: heads, value model; one scorer a file."""
