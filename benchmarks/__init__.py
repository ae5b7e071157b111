"""Measurements that anyone can run: each module is a command that prints a table and can write JSON."""
