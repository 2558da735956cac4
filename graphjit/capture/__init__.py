"""From calls of layers to a graph: symbolic tensors, layers, and the tracer."""
