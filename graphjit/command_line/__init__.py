"""The work of the command `graphjit`; what can be said to it is in `graphjit_cli`."""
