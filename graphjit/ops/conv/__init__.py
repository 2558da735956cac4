"""Convolutions: plain, transposed, locally connected; their kernels and layers."""
