"""The grids of shapes that kernels are measured over, one module a family."""
