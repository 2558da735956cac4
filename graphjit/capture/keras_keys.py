"""Keys of Keras's configurations that no layer here takes, and that change nothing.

A key stands here with the values at which it is without effect. At another value it
asks for something that is not here, and reading it as if it did not would be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "EFFECTLESS_ANYWHERE",
    "FIRST_INPUT",
    "OF_THE_INPUT",
    "OURS",
    "effectless",
    "read_by_class",
]

#: In the place of values: whatever is there has no effect.
ANY: Final = ("any value",)

#: In a text of ours, beside class_name and config: what an entry says of its input.
#: Keras 3 reads an input layer alone, and no Keras looks here.
OURS: Final = "graphjit"
#: What a layer's configuration says of it.
OF_THE_INPUT: Final = ("batch_input_shape", "input_dtype")

#: What any layer may say of its input where it is a model's first.
FIRST_INPUT: Final = frozenset(
    "batch_input_shape input_shape input_dim input_length input_dtype".split()
)

EFFECTLESS_ANYWHERE: Final[Mapping[str, tuple[Any, ...]]] = {
    "activity_regularizer": (None,),
    "autocast": (None, True),
    "build_config": ANY,
    "dynamic": (None, False),
    "lora_alpha": (None,),
    "lora_rank": (None,),
    "quantization_config": (None,),
    "quantization_mode": (None,),
    "ragged": (None, False),
    "rng_type": ANY,
    "shared_object_id": ANY,
}

_RECURRENT: Final[Mapping[str, tuple[Any, ...]]] = {
    # How it is computed. Where that changes dropout, layers have it as an argument.
    "implementation": ANY,
    "time_major": (None, False),
    "use_cudnn": ("auto", True, False),
    "input_spec": (None,),
    # Keras 1 and 2 gave a cell's mask of constants so.
    "num_constants": (None, 0),
}

_SEPARABLE: Final[Mapping[str, tuple[Any, ...]]] = {
    # Of the one kernel that a separable convolution has not.
    "kernel_initializer": ANY,
    "kernel_regularizer": ANY,
    "kernel_constraint": ANY,
    "groups": (None, 1),
}

_BY_CLASS: Final[Mapping[str, Mapping[str, tuple[Any, ...]]]] = {
    "Attention": {"causal": (None, False)},
    "AdditiveAttention": {"causal": (None, False)},
    "BatchNormalization": {
        "adjustment": (None,),
        "fused": ANY,
        "renorm": (None, False),
        "renorm_clipping": ANY,
        "renorm_momentum": ANY,
        "synchronized": (None, False),
        "virtual_batch_size": (None,),
    },
    "ConvLSTM1D": _RECURRENT,
    "ConvLSTM2D": _RECURRENT,
    "ConvLSTM3D": _RECURRENT,
    "Conv1DTranspose": {"groups": (None, 1)},
    "Conv2DTranspose": {"groups": (None, 1)},
    "Conv3DTranspose": {"groups": (None, 1)},
    "DepthwiseConv1D": {**_SEPARABLE, "filters": ANY},
    "DepthwiseConv2D": {**_SEPARABLE, "filters": ANY},
    "Embedding": {"sparse": (None, False)},
    "GRU": _RECURRENT,
    "GRUCell": _RECURRENT,
    "InputLayer": {"type_spec": (None,)},
    "LSTM": _RECURRENT,
    "LSTMCell": _RECURRENT,
    "LayerNormalization": {"rms_scaling": (None, False)},
    "MultiHeadAttention": {
        "flash_attention": ANY,
        "query_shape": ANY,
        "key_shape": ANY,
        "value_shape": ANY,
        "use_gate": (None, False),
    },
    "RNN": _RECURRENT,
    "SeparableConv1D": _SEPARABLE,
    "SeparableConv2D": _SEPARABLE,
    "SimpleRNN": _RECURRENT,
    "SimpleRNNCell": _RECURRENT,
    # tf.keras makes these of Dropout, which has a shape of its own.
    "SpatialDropout1D": {"noise_shape": (None,)},
    "SpatialDropout2D": {"noise_shape": (None,)},
    "SpatialDropout3D": {"noise_shape": (None,)},
}

#: Keys that the class itself reads although they are no arguments of it.
_READ_BY_CLASS: Final[Mapping[str, tuple[str, ...]]] = {
    "InputLayer": ("sparse", "ragged", "optional"),
    "StackedRNNCells": ("cells",),
}


def effectless(class_name: str, key: str) -> tuple[Any, ...] | None:
    """The values at which a key changes nothing; None where the key is not known."""
    own = _BY_CLASS.get(class_name, {})
    return own.get(key) or EFFECTLESS_ANYWHERE.get(key)


def read_by_class(class_name: str) -> tuple[str, ...]:
    """Further keys that a class's `from_config` reads."""
    return _READ_BY_CLASS.get(class_name, ())
