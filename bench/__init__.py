"""Benchmarks: each prints a table and writes JSON; `make bench NAME=index` runs one."""
