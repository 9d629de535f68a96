"""The command line and the composition root: settings, clients, processes."""
