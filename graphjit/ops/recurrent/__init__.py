"""Recurrent layers: their ops, cells, loops over any cell, and the two wrappers."""
