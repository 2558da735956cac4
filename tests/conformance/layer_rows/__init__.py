"""Rows of the table of layers: a file for each family."""
