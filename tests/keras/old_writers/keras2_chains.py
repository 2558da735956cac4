"""Chains of layers in the words of Keras 2. Each function takes a `make.Kit`.

It gives the model, and inputs for it.
"""


def mlp(k):
    m = k.chain(
        k.Dense(
            7,
            input_dim=5,
            activation="softsign",
            kernel_regularizer="l2",
            kernel_constraint="max_norm",
        ),
        k.BatchNormalization(scale=False),
        k.Dropout(0.5),
        k.LeakyReLU(0.2),
        k.Dense(4, activation="hard_sigmoid", use_bias=False),
        k.ELU(0.7),
        k.PReLU(),
        k.ThresholdedReLU(0.1),
        k.GaussianNoise(0.1),
        k.GaussianDropout(0.1),
        k.ActivityRegularization(l1=0.01),
        k.AlphaDropout(0.1),
        k.Dense(3, activation="selu"),
        k.BatchNormalization(center=False, momentum=0.9, epsilon=0.0001),
        k.Activation("softmax"),
    )
    return m, [k.normal(4, 5)]


def legacy(k):
    m = k.chain(
        k.MaxoutDense(4, nb_feature=3, input_dim=5),
        k.Highway(activation="tanh"),
        k.Dense(2),
    )
    return m, [k.normal(3, 5)]


def _conv(k, df):
    sh = (3, 11, 9) if df == "channels_first" else (11, 9, 3)
    ax = 1 if df == "channels_first" else -1
    place = {"data_format": df}
    m = k.chain(
        k.Conv2D(4, 3, padding="same", input_shape=sh, **place),
        k.BatchNormalization(axis=ax),
        k.Activation("relu"),
        k.Conv2D(
            5, (2, 4), padding="valid" if k.theano else "same", strides=(2, 1), **place
        ),
        k.MaxPooling2D((2, 2), **place),
        k.PReLU(shared_axes=[2, 3] if ax == 1 else [1, 2]),
        k.ZeroPadding2D(((1, 0), (2, 1)), **place),
        k.AveragePooling2D((2, 3), strides=(1, 2), **place),
        k.UpSampling2D((2, 1), **place),
        k.Cropping2D(((1, 0), (0, 1)), **place),
        k.Flatten(),
        k.Dense(3, activation="tanh"),
    )
    return m, [k.normal(3, *sh)]


def same_even(k):
    m = k.chain(
        k.Conv2D(3, 2, padding="same", input_shape=(7, 6, 2)),
        k.Conv2D(3, 4, padding="same", strides=2),
        k.MaxPooling2D(3, 2, padding="same"),
        k.AveragePooling2D(2, 1, padding="same"),
    )
    return m, [k.normal(2, 7, 6, 2)]


def dilated(k):
    m = k.chain(
        k.Conv2D(3, 3, dilation_rate=2, input_shape=(9, 9, 2)),
        k.Conv2D(2, (2, 3), dilation_rate=(1, 2)),
    )
    return m, [k.normal(2, 9, 9, 2)]


def deconv(k):
    m = k.chain(
        k.Conv2DTranspose(3, 3, strides=2, padding="same", input_shape=(6, 5, 2)),
        k.Conv2DTranspose(2, (2, 3), strides=(1, 2), padding="valid"),
    )
    return m, [k.normal(2, 6, 5, 2)]


def separable(k):
    m = k.chain(
        k.SeparableConv2D(
            3, 3, depth_multiplier=2, padding="same", input_shape=(6, 5, 2)
        ),
        k.Activation("elu"),
    )
    return m, [k.normal(2, 6, 5, 2)]


def depthwise(k):
    m = k.chain(
        k.DepthwiseConv2D(
            (3, 3),
            strides=(2, 2),
            depth_multiplier=2,
            padding="same",
            input_shape=(6, 5, 2),
        )
    )
    return m, [k.normal(2, 6, 5, 2)]


def conv1d(k):
    m = k.chain(
        k.Conv1D(4, 3, padding="same", input_shape=(12, 3), activation="relu"),
        k.Conv1D(4, 4, strides=2),
        k.ZeroPadding1D((1, 2)),
        k.MaxPooling1D(2, 1),
        k.UpSampling1D(2),
        k.AveragePooling1D(3),
        k.Cropping1D((1, 0)),
        k.Conv1D(3, 1),
        k.GlobalMaxPooling1D(),
    )
    return m, [k.normal(2, 12, 3)]


def causal(k):
    m = k.chain(
        k.Conv1D(4, 3, padding="causal", dilation_rate=2, input_shape=(None, 3)),
        k.Conv1D(4, 2, padding="causal"),
    )
    return m, [k.normal(2, 9, 3)]


def local(k):
    m = k.chain(
        k.LocallyConnected1D(4, 3, input_shape=(9, 3), activation="tanh"),
        k.Reshape((7, 2, 2)),
        k.LocallyConnected2D(3, (2, 1), strides=(2, 1)),
        k.Flatten(),
    )
    return m, [k.normal(2, 9, 3)]


def local_cf(k):
    m = k.chain(
        k.LocallyConnected2D(
            3, (2, 3), input_shape=(2, 5, 6), data_format="channels_first"
        ),
        k.GlobalAveragePooling2D(data_format="channels_first"),
    )
    return m, [k.normal(2, 2, 5, 6)]


def conv3d(k):
    m = k.chain(
        k.Conv3D(3, (2, 3, 2), input_shape=(5, 6, 5, 2)),
        k.MaxPooling3D((2, 2, 2)),
        k.ZeroPadding3D((1, 1, 1)),
        k.UpSampling3D((1, 2, 1)),
        k.AveragePooling3D((2, 2, 1)),
        k.Flatten(),
        k.Dense(2),
    )
    return m, [k.normal(2, 5, 6, 5, 2)]


def gru_after(k):
    m = k.chain(
        k.GRU(4, reset_after=True, input_shape=(5, 3), return_sequences=True),
        k.GRU(3, reset_after=True, recurrent_activation="sigmoid"),
    )
    return m, [k.normal(2, 5, 3)]


def masked_gap(k):
    m = k.chain(
        k.Masking(0.0, input_shape=(6, 3)),
        k.LSTM(4, return_sequences=True),
        k.GlobalAveragePooling1D(),
    )
    x = k.normal(3, 6, 3)
    x[0, 3:] = 0
    x[1, 0] = 0
    return m, [x]


def td_conv(k):
    m = k.chain(
        k.TimeDistributed(k.Conv2D(3, 3), input_shape=(4, 6, 5, 2)),
        k.TimeDistributed(k.MaxPooling2D((2, 2))),
        k.TimeDistributed(k.Flatten()),
        k.LSTM(3),
    )
    return m, [k.normal(2, 4, 6, 5, 2)]


def convlstm(k):
    m = k.chain(
        k.ConvLSTM2D(
            3, 3, padding="same", return_sequences=True, input_shape=(3, 6, 5, 2)
        ),
        k.ConvLSTM2D(2, 2, padding="valid"),
    )
    return m, [k.normal(2, 3, 6, 5, 2)]


def bi_convlstm(k):
    m = k.chain(
        k.Bidirectional(
            k.ConvLSTM2D(2, 3, padding="same", return_sequences=True),
            input_shape=(3, 5, 4, 2),
        ),
        k.TimeDistributed(k.GlobalAveragePooling2D()),
    )
    return m, [k.normal(2, 3, 5, 4, 2)]


def cells(k):
    m = k.chain(
        k.RNN([k.LSTMCell(4), k.GRUCell(3)], input_shape=(5, 2), return_sequences=True),
        k.RNN(k.SimpleRNNCell(3)),
    )
    return m, [k.normal(2, 5, 2)]


def soft(k):
    m = k.chain(
        k.Dense(6, input_shape=(4,)),
        k.Reshape((2, 3)),
        k.Softmax(axis=1),
        k.ReLU(max_value=0.4) if k.version >= (2, 2) else k.Activation("relu"),
        k.Permute((2, 1)),
        k.Flatten(),
    )
    return m, [k.normal(3, 4)]


def relu6(k):
    m = k.chain(
        k.Dense(6, input_shape=(4,)),
        k.ReLU(max_value=2.0, negative_slope=0.1, threshold=0.2),
        k.Reshape((2, 3, 1)),
        k.UpSampling2D((2, 2), interpolation="bilinear"),
    )
    return m, [k.normal(3, 4)]


def fixed_batch(k):
    m = k.chain(k.Dense(3, batch_input_shape=(4, 5)), k.Dense(2))
    return m, [k.normal(4, 5)]


def sepconv1d(k):
    m = k.chain(
        k.SeparableConv1D(4, 3, depth_multiplier=2, padding="same", input_shape=(8, 3))
    )
    return m, [k.normal(2, 8, 3)]


def td_bi(k):
    m = k.chain(
        k.TimeDistributed(k.Bidirectional(k.GRU(3)), input_shape=(4, 5, 2)), k.GRU(2)
    )
    return m, [k.normal(2, 4, 5, 2)]


def td_emb(k):
    m = k.chain(
        k.TimeDistributed(k.Embedding(9, 3), input_shape=(4, 5)),
        k.TimeDistributed(k.Conv1D(3, 2)),
        k.TimeDistributed(k.GlobalMaxPooling1D()),
        k.LSTM(2),
    )
    return m, [k.ids(9, 2, 4, 5)]


def convlstm_cf(k):
    m = k.chain(
        k.ConvLSTM2D(
            3,
            3,
            strides=(2, 2),
            padding="same",
            return_sequences=True,
            input_shape=(3, 7, 6, 2),
            dilation_rate=1,
            activation="relu",
            recurrent_activation="sigmoid",
            use_bias=False,
        ),
        k.BatchNormalization(),
        k.ConvLSTM2D(2, 2, go_backwards=True),
    )
    return m, [k.normal(2, 3, 7, 6, 2)]


def sep_strides(k):
    m = k.chain(
        k.SeparableConv2D(
            3, 3, strides=2, padding="same", input_shape=(8, 7, 2), depth_multiplier=2
        ),
        k.SeparableConv2D(3, 2, use_bias=False),
    )
    return m, [k.normal(2, 8, 7, 2)]


def sep_dil(k):
    m = k.chain(k.SeparableConv2D(3, 3, dilation_rate=2, input_shape=(8, 7, 2)))
    return m, [k.normal(2, 8, 7, 2)]


def deconv_op(k):
    m = k.chain(
        k.Conv2DTranspose(
            3, 3, strides=2, padding="same", output_padding=1, input_shape=(4, 5, 2)
        ),
        k.Conv2DTranspose(2, 3, strides=3, padding="valid", output_padding=(1, 2)),
    )
    return m, [k.normal(2, 4, 5, 2)]


def deconv3d(k):
    m = k.chain(
        k.Conv3DTranspose(
            2, (2, 3, 2), strides=(1, 2, 2), padding="same", input_shape=(3, 4, 3, 2)
        )
    )
    return m, [k.normal(2, 3, 4, 3, 2)]


def inputlayer(k):
    m = k.chain(k.InputLayer(input_shape=(4,)), k.Dense(3))
    n = k.chain(k.InputLayer((3,)), k.Dense(2))
    m.add(n)
    return m, [k.normal(2, 4)]


def cfirst3d(k):
    m = k.chain(
        k.Conv1D(3, 2, input_shape=(7, 2)),
        k.Reshape((3, 6)),
        k.Permute((2, 1)),
        k.ZeroPadding1D(1),
        k.LSTM(3),
    )
    return m, [k.normal(2, 7, 2)]


def conv_cl(k):
    return _conv(k, "channels_last")


def conv_cf(k):
    return _conv(k, "channels_first")


def _recurrent(k, kind, implementation):
    layer = getattr(k, kind)
    settings = {"implementation": implementation}
    m = k.chain(
        layer(5, input_shape=(6, 3), return_sequences=True, dropout=0.1, **settings),
        layer(4, go_backwards=True, return_sequences=True, **settings),
        layer(3, activation="relu", use_bias=False, **settings),
    )
    return m, [k.normal(2, 6, 3)]


VARIANTS = {
    "lstm_0": lambda k: _recurrent(k, "LSTM", 0),
    "lstm_2": lambda k: _recurrent(k, "LSTM", 2),
    "gru_1": lambda k: _recurrent(k, "GRU", 1),
    "simplernn_2": lambda k: _recurrent(k, "SimpleRNN", 2),
}
