"""Every layer, under its Keras 2 name (`gj.layers`)."""

from graphjit.capture.input_layer import Input, InputLayer
from graphjit.capture.layer import Layer
from graphjit.ops.activation_layers import (
    ELU,
    Activation,
    LeakyReLU,
    ReLU,
    Softmax,
    ThresholdedReLU,
)
from graphjit.ops.attention.layers import AdditiveAttention, Attention
from graphjit.ops.attention.multi_head import MultiHeadAttention
from graphjit.ops.batch_norm import BatchNormalization
from graphjit.ops.border_layers import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from graphjit.ops.conv.depthwise_layers import (
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from graphjit.ops.conv.layers import Conv1D, Conv2D, Conv3D
from graphjit.ops.conv.local_layers import LocallyConnected1D, LocallyConnected2D
from graphjit.ops.conv.transpose_layers import (
    Conv1DTranspose,
    Conv2DTranspose,
    Conv3DTranspose,
)
from graphjit.ops.cosine import Cosine
from graphjit.ops.data_normalization import Normalization
from graphjit.ops.dense import Dense
from graphjit.ops.dropout_layers import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from graphjit.ops.einsum_dense import EinsumDense
from graphjit.ops.embedding import Embedding
from graphjit.ops.global_pool_layers import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
)
from graphjit.ops.highway import Highway
from graphjit.ops.lambda_layer import Lambda
from graphjit.ops.learned_activations import ParametricSoftplus, PReLU, SReLU
from graphjit.ops.masking import Masking
from graphjit.ops.maxout import MaxoutDense
from graphjit.ops.merge_layers import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from graphjit.ops.norm_layers import (
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from graphjit.ops.operation_layer import Operation
from graphjit.ops.passing_layers import ActivityRegularization, Identity
from graphjit.ops.pool_layers import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from graphjit.ops.recurrent.bidirectional import Bidirectional
from graphjit.ops.recurrent.conv_lstm import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D
from graphjit.ops.recurrent.gru import GRU, GRUCell
from graphjit.ops.recurrent.lstm import LSTM, LSTMCell
from graphjit.ops.recurrent.rnn import RNN, StackedRNNCells
from graphjit.ops.recurrent.simple_rnn import SimpleRNN, SimpleRNNCell
from graphjit.ops.recurrent.time_distributed import TimeDistributed
from graphjit.ops.rescaling import Rescaling
from graphjit.ops.residual_layers import CustomScaleLayer, LayerScale, StochasticDepth
from graphjit.ops.shape_layers import Flatten, Permute, RepeatVector, Reshape
from graphjit.ops.upsample_layers import UpSampling1D, UpSampling2D, UpSampling3D

AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNormalization",
    "Bidirectional",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Convolution3DTranspose",
    "Cosine",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "CustomScaleLayer",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "Highway",
    "Identity",
    "Input",
    "InputLayer",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LayerScale",
    "LeakyReLU",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "Masking",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "MaxoutDense",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "Operation",
    "PReLU",
    "ParametricSoftplus",
    "Permute",
    "RMSNormalization",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "SReLU",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "StackedRNNCells",
    "StochasticDepth",
    "Subtract",
    "ThresholdedReLU",
    "TimeDistributed",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]
