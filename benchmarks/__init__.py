"""Measurements of graphjit; ``python -m benchmarks`` runs them, NOTES.md reads them."""
