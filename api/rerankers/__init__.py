"""The slate as a whole: each re-ranker is a permutation of what the one before it made."""
