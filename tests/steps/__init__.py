"""Steps of random models: a file for each family of layers."""
