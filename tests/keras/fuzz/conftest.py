"""What pytest leaves alone here: a command that needs a package of its own."""

collect_ignore = ["coverage.py"]
