"""Convolutions: the op, its CPU kernels, and the layers."""
