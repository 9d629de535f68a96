"""Servers that the sandbox and the tests start themselves, each as a private child process."""
