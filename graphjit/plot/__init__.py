"""Pictures of models and graphs, without a system package.

>>> import graphjit as gj
>>> x = gj.Input((4,), name="x")
>>> model = gj.Model(x, gj.layers.Dense(2, name="d")(x))
>>> print(gj.plot.mermaid(model))
flowchart TD
  n0(["InputLayer<br/>x<br/>(None, 4)"])
  n1["Dense<br/>d<br/>(None, 2)"]
  n0 --> n1
"""

from graphjit.plot.files import html, mermaid, plot_model, svg

__all__ = ["html", "mermaid", "plot_model", "svg"]
