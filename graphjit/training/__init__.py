"""Training through optax: the pure step, and what `Model.compile` makes of it."""
