"""Files: how (Graph, tensors) is written and read. Nothing here knows of models."""
