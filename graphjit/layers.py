"""Every layer, under its Keras 2 name (`gj.layers`)."""

from graphjit.capture.input_layer import Input, InputLayer
from graphjit.capture.layer import Layer
from graphjit.ops.activation_layers import Activation, ReLU, Softmax
from graphjit.ops.batch_norm import BatchNormalization
from graphjit.ops.conv.layers import Conv2D, DepthwiseConv2D
from graphjit.ops.dense import Dense
from graphjit.ops.dropout import Dropout
from graphjit.ops.merge_layers import Add, Concatenate, Multiply
from graphjit.ops.pool import (
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
)
from graphjit.ops.shape_layers import (
    Flatten,
    Permute,
    Reshape,
    UpSampling2D,
    ZeroPadding2D,
)

AvgPool2D = AveragePooling2D
MaxPool2D = MaxPooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
Convolution2D = Conv2D

__all__ = [
    "Activation",
    "Add",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Convolution2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "Input",
    "InputLayer",
    "Layer",
    "MaxPool2D",
    "MaxPooling2D",
    "Multiply",
    "Permute",
    "ReLU",
    "Reshape",
    "Softmax",
    "UpSampling2D",
    "ZeroPadding2D",
]
