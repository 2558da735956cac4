"""The names users rely on exist, and importing them is light."""

from __future__ import annotations

import subprocess
import sys

import pytest

import graphjit as gj

NAMES = """
Input Model layers activations initializers regularizers constraints losses metrics
callbacks errors config jit lower verify passes load to_bytes from_bytes register
model_from_json model_from_yaml model_from_config layer_from_config
Executable Graph backend plot plot_model keras keras1
""".split()

MODEL = """
graph init apply step variables predict compile fit evaluate train_on_batch summary
get_config from_config get_weights set_weights get_layer input_shape output_shape layers
count_params save inputs outputs input output to_json to_yaml save_weights load_weights
""".split()

EXECUTABLE = "explain rebind step cost flops bytes".split()

ERRORS = """
GraphJitError CaptureError ShapeError VerifyError PassError FormatError DataError
""".split()

LAYERS = """
Activation ActivityRegularization Add add AdditiveAttention AlphaDropout Attention
Average average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization
Bidirectional Concatenate concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose
Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D
Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D
Convolution3DTranspose Cropping1D Cropping2D Cropping3D CustomScaleLayer Dense
DepthwiseConv1D DepthwiseConv2D Dot dot Dropout EinsumDense ELU Embedding Flatten
GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
GroupNormalization GRU GRUCell Identity Input InputLayer Lambda LayerNormalization
LayerScale LeakyReLU LocallyConnected1D LocallyConnected2D LSTM LSTMCell Masking Maximum
maximum MaxPooling1D MaxPooling2D MaxPooling3D Minimum minimum MultiHeadAttention
Multiply multiply Normalization Operation ParametricSoftplus Permute PReLU ReLU
RepeatVector Rescaling Reshape RMSNormalization RNN SeparableConv1D SeparableConv2D
SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell Softmax
SpatialDropout1D SpatialDropout2D SpatialDropout3D SReLU StackedRNNCells StochasticDepth
Subtract subtract ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D
UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
""".split()

ACTIVATIONS = """
elu exponential gelu hard_sigmoid hard_silu linear relu relu6 selu sigmoid silu softmax
softplus softsign swish tanh
""".split()


@pytest.mark.parametrize("name", NAMES)
def test_top_level(name: str) -> None:
    assert hasattr(gj, name)
    assert name in dir(gj)


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (gj.Model, MODEL),
        (gj.Executable, EXECUTABLE),
        (gj.errors, ERRORS),
        (gj.layers, LAYERS),
        (gj.activations, ACTIVATIONS),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_members(owner: object, names: list[str]) -> None:
    assert [name for name in names if not hasattr(owner, name)] == []


def test_every_exported_name_exists_and_is_documented() -> None:
    for name in gj.__all__:
        assert getattr(gj, name).__doc__, name
    for name in gj.layers.__all__:
        assert getattr(gj.layers, name).__doc__, name


def test_import_is_light() -> None:
    code = (
        "import sys, graphjit\n"
        "heavy = ['h5py', 'yaml', 'rich', 'optax', 'flax', 'keras', 'sklearn']\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert gj.__version__ == version("graphjit")


def test_an_executable_has_its_graph() -> None:
    x = gj.Input((3,))
    model = gj.Model(x, gj.layers.Dense(2)(x))
    assert isinstance(gj.jit(model).graph, gj.Graph)
