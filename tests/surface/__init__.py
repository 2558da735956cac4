"""The documents' surface: what they name, what the code has, where it is tested."""
