"""The handlers: parameters in, an answer out; what they do is in the modules above."""
