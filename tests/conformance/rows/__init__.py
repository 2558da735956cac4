"""Rows of the table of ops: a file for each family."""
