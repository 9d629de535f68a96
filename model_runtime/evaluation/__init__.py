"""How good recommendations are: protocols, metrics and baselines. Nothing that serves imports this."""
