"""Models in the words of Keras 1. Each function takes a `make.Kit`.

It gives the model, and inputs for it.
"""


def mlp(k):
    m = k.chain(
        k.Dense(
            7,
            input_dim=5,
            activation="softsign",
            W_regularizer=k.l2(0.01),
            W_constraint="maxnorm",
        ),
        k.BatchNormalization(),
        k.Highway(activation="tanh"),
        k.Dropout(0.5),
        k.MaxoutDense(6, nb_feature=3),
        k.BatchNormalization(mode=1, epsilon=0.0001),
        k.LeakyReLU(0.2),
        k.Dense(4, activation="hard_sigmoid", bias=False),
        k.ELU(0.7),
        k.PReLU(),
        k.ParametricSoftplus(),
        k.ThresholdedReLU(0.1),
        k.SReLU(),
        k.GaussianNoise(0.1),
        k.GaussianDropout(0.1),
        k.ActivityRegularization(l1=0.01),
        k.Dense(3),
        k.Activation("softmax"),
    )
    return m, [k.normal(4, 5)]


def _conv(k, ordering):
    sh = (3, 11, 9) if ordering == "th" else (11, 9, 3)
    ax = 1 if ordering == "th" else -1
    shared = (
        {"shared_axes": [2, 3] if ax == 1 else [1, 2]} if k.version >= (1, 2) else {}
    )
    place = {"dim_ordering": ordering}
    m = k.chain(
        k.Convolution2D(4, 3, 3, border_mode="same", input_shape=sh, **place),
        k.BatchNormalization(axis=ax),
        k.Activation("relu"),
        k.Convolution2D(5, 2, 4, border_mode="same", subsample=(2, 1), **place),
        k.MaxPooling2D((2, 2), border_mode="valid", **place),
        k.PReLU(**shared),
        k.ZeroPadding2D((1, 2), **place),
        k.AveragePooling2D((2, 3), strides=(1, 2), **place),
        k.UpSampling2D((2, 1), **place),
    )
    if k.version >= (1, 1):
        m.add(k.Cropping2D(((1, 0), (0, 1)), **place))
    m.add(k.Flatten())
    m.add(k.Dense(3, activation="tanh"))
    return m, [k.normal(3, *sh)]


def pool_same(k):
    m = k.chain(
        k.MaxPooling2D(
            (3, 3),
            strides=(2, 2),
            border_mode="same",
            input_shape=(2, 8, 7),
            dim_ordering="th",
        ),
        k.AveragePooling2D(
            (2, 2), strides=(1, 1), border_mode="same", dim_ordering="th"
        ),
        k.MaxPooling2D((2, 2), strides=(2, 2), border_mode="same", dim_ordering="th"),
    )
    return m, [k.normal(2, 2, 8, 7)]


def conv_same_even(k):
    m = k.chain(
        k.Convolution2D(
            3, 2, 2, border_mode="same", input_shape=(2, 7, 6), dim_ordering="th"
        ),
        k.Convolution2D(
            3, 4, 4, border_mode="same", subsample=(2, 2), dim_ordering="th"
        ),
        k.Convolution2D(
            2, 3, 3, border_mode="same", subsample=(2, 2), dim_ordering="th"
        ),
    )
    return m, [k.normal(2, 2, 7, 6)]


def conv_full(k):
    m = k.chain(
        k.Convolution2D(
            3, 3, 2, border_mode="full", input_shape=(2, 7, 6), dim_ordering="th"
        )
    )
    return m, [k.normal(2, 2, 7, 6)]


def atrous(k):
    m = k.chain(
        k.AtrousConvolution2D(
            3, 3, 3, atrous_rate=(2, 2), input_shape=(2, 9, 9), dim_ordering="th"
        ),
        k.AtrousConvolution2D(2, 2, 3, atrous_rate=(1, 2), dim_ordering="th"),
    )
    return m, [k.normal(2, 2, 9, 9)]


def deconv(k):
    i = k.Input(batch_shape=(2, 2, 6, 6))
    o = k.Deconvolution2D(
        3,
        3,
        3,
        output_shape=(2, 3, 13, 13),
        subsample=(2, 2),
        border_mode="valid",
        dim_ordering="th",
    )(i)
    o = k.Deconvolution2D(
        2, 2, 2, output_shape=(2, 2, 14, 14), border_mode="valid", dim_ordering="th"
    )(o)
    return k.Model(i, o), [k.normal(2, 2, 6, 6)]


def deconv_same(k):
    i = k.Input(batch_shape=(2, 6, 5, 2))
    o = k.Deconvolution2D(
        3,
        3,
        3,
        output_shape=(2, 12, 10, 3),
        subsample=(2, 2),
        border_mode="same",
        dim_ordering="tf",
    )(i)
    return k.Model(i, o), [k.normal(2, 6, 5, 2)]


def conv1d(k):
    m = k.chain(
        k.Convolution1D(
            4, 3, border_mode="same", input_dim=3, input_length=12, activation="relu"
        ),
        k.Convolution1D(4, 4, subsample_length=2),
        k.ZeroPadding1D(1),
        k.MaxPooling1D(2, stride=1),
        k.UpSampling1D(2),
        k.AveragePooling1D(3),
    )
    m.add(k.Cropping1D((1, 0)))
    m.add(k.Convolution1D(3, 1))
    m.add(k.GlobalMaxPooling1D())
    return m, [k.normal(2, 12, 3)]


def conv1d_same_even(k):
    m = k.chain(
        k.Embedding(9, 4, input_length=10),
        k.Convolution1D(4, 4, border_mode="same"),
        k.Convolution1D(3, 2, border_mode="same", subsample_length=2),
        k.MaxPooling1D(2, border_mode="same"),
    )
    return m, [k.ids(9, 3, 10)]


def conv3d(k):
    m = k.chain(
        k.Convolution3D(
            3, 2, 3, 2, border_mode="valid", input_shape=(2, 5, 6, 5), dim_ordering="th"
        ),
        k.MaxPooling3D((2, 2, 2), dim_ordering="th"),
        k.ZeroPadding3D((1, 1, 1), dim_ordering="th"),
        k.UpSampling3D((1, 2, 1), dim_ordering="th"),
        k.AveragePooling3D((2, 2, 1), dim_ordering="th"),
        k.Flatten(),
        k.Dense(2),
    )
    return m, [k.normal(2, 2, 5, 6, 5)]


def local2d(k):
    m = k.chain(
        k.LocallyConnected2D(3, 2, 3, input_shape=(2, 5, 6), dim_ordering="th"),
        k.LocallyConnected2D(2, 2, 2, subsample=(2, 1), dim_ordering="th"),
        k.GlobalAveragePooling2D(dim_ordering="th"),
    )
    return m, [k.normal(2, 2, 5, 6)]


def masking(k):
    m = k.chain(
        k.Masking(0.0, input_shape=(6, 3)),
        k.LSTM(4, return_sequences=True),
        k.TimeDistributedDense(3, activation="relu"),
    )
    x = k.normal(3, 6, 3)
    x[0, 3:] = 0
    x[1, 0] = 0
    return m, [x]


def bi_masked(k):
    m = k.chain(
        k.Embedding(9, 4, mask_zero=True),
        k.Bidirectional(k.LSTM(3, return_sequences=True)),
        k.Bidirectional(k.LSTM(3)),
    )
    x = k.ids(9, 4, 7)
    x[0, 4:] = 0
    return m, [x]


def merges(k):
    a = k.Input((6,), name="a")
    b = k.Input((6,), name="b")
    d = k.Dense(6, activation="tanh")
    x = d(a)
    y = d(b)
    ys = []
    for mode in ("sum", "mul", "concat", "ave", "dot", "cos", "max"):
        ys.append(k.merge([x, y], mode=mode, name="m_" + mode))
    return k.Model([a, b], ys), [k.normal(3, 6), k.normal(3, 6)]


def merge3(k):
    a = k.Input((4, 6))
    x = k.LSTM(5, return_sequences=True)(a)
    y = k.GRU(5, return_sequences=True)(a)
    z = k.merge([x, y], mode="dot", dot_axes=[2, 2])
    c = k.merge([x, y], mode="concat", concat_axis=1)
    p = k.Permute((2, 1))(c)
    r = k.Reshape((-1,))(p)
    v = k.RepeatVector(3)(k.Dense(2)(r))
    w = k.merge([k.Flatten()(z), k.Flatten()(v)], mode="concat")
    return k.Model(a, [w, z]), [k.normal(2, 4, 6)]


def seqmerge_rnn(k):
    left = k.chain(
        k.Embedding(9, 4, input_length=5, mask_zero=True),
        k.LSTM(4, return_sequences=True),
    )
    r = k.chain(
        k.Embedding(9, 4, input_length=5, mask_zero=True),
        k.LSTM(4, return_sequences=True),
    )
    m = k.chain(k.Merge([left, r], mode="sum"), k.LSTM(3), k.Dense(2))
    x = k.ids(9, 3, 5)
    y = k.ids(9, 3, 5)
    x[0, 3:] = 0
    y[0, 2:] = 0
    return m, [x, y]


def nested_fun(k):
    i = k.Input((6,))
    e = k.Model(i, [k.Dense(3, name="e1")(i), k.Dense(2, name="e2")(i)], name="enc")
    j = k.Input((6,))
    h = k.Input((6,))
    p, q = e(j)
    r, s = e(h)
    o = k.merge([p, r], mode="sum")
    return k.Model([j, h], [o, k.Dense(2)(k.merge([q, s], mode="concat"))]), [
        k.normal(3, 6),
        k.normal(3, 6),
    ]


def repeated(k):
    d = k.Dense(4)
    m = k.chain(k.Dense(4, input_shape=(4,)), d, d)
    return m, [k.normal(3, 4)]


def convlstm(k):
    m = k.chain(
        k.ConvLSTM2D(
            3,
            3,
            3,
            border_mode="same",
            return_sequences=True,
            input_shape=(3, 2, 6, 5),
            dim_ordering="th",
        ),
        k.ConvLSTM2D(2, 2, 2, border_mode="valid", dim_ordering="th"),
    )
    return m, [k.normal(2, 3, 2, 6, 5)]


def bnmode2(k):
    m = k.chain(k.Dense(4, input_shape=(3,)), k.BatchNormalization(mode=2))
    return m, [k.normal(8, 3)]


def rnn_softmax(k):
    m = k.chain(
        k.SimpleRNN(4, input_shape=(5, 3), return_sequences=True),
        k.Activation("softmax"),
        k.GRU(3, inner_activation="sigmoid", activation="sigmoid"),
    )
    return m, [k.normal(2, 5, 3)]


def td_lstm(k):
    m = k.chain(k.TimeDistributed(k.LSTM(3), input_shape=(4, 5, 2)), k.GRU(2))
    return m, [k.normal(2, 4, 5, 2)]


def bn_default_th(k):
    m = k.chain(
        k.Convolution2D(3, 3, 3, input_shape=(2, 7, 6), dim_ordering="th"),
        k.BatchNormalization(),
        k.PReLU(),
        k.MaxPooling2D(dim_ordering="th"),
        k.Flatten(),
        k.BatchNormalization(),
    )
    return m, [k.normal(2, 2, 7, 6)]


def bn_seq(k):
    m = k.chain(
        k.LSTM(4, input_shape=(5, 3), return_sequences=True),
        k.BatchNormalization(axis=1),
        k.BatchNormalization(),
        k.SReLU(),
        k.ParametricSoftplus(),
    )
    return m, [k.normal(2, 5, 3)]


def siamese(k):

    def base():
        return k.chain(k.Dense(4, input_shape=(3,), activation="relu"), k.Dropout(0.1))

    i = k.Input((3,))
    j = k.Input((3,))
    b = base()
    o = k.merge([b(i), b(j)], mode="mul")
    return k.Model([i, j], k.Dense(1)(o)), [k.normal(2, 3), k.normal(2, 3)]


def nested_merge(k):

    def br(n):
        return k.chain(k.Dense(4, input_shape=(n,)))

    a = k.chain(k.Merge([br(3), br(2)], mode="concat"), k.Dense(4))
    m = k.chain(k.Merge([a, br(5)], mode="sum"), k.Dense(2))
    return m, [k.normal(2, 3), k.normal(2, 2), k.normal(2, 5)]


def pad4(k):
    m = k.chain(
        k.ZeroPadding2D((1, 0, 2, 1), input_shape=(2, 5, 4), dim_ordering="th"),
        k.Convolution2D(2, 3, 2, dim_ordering="th", bias=False),
    )
    return m, [k.normal(2, 2, 5, 4)]


def mask_merge(k):
    i = k.Input((6,))
    e = k.Embedding(9, 4, mask_zero=True)(i)
    a = k.LSTM(3, return_sequences=True)(e)
    b = k.GRU(3, return_sequences=True)(e)
    c = k.merge([a, b], mode="concat")
    d = k.merge([a, b], mode="sum")
    o = k.LSTM(2)(c)
    p = k.GRU(2)(d)
    x = k.ids(9, 3, 6)
    x[0, 3:] = 0
    return k.Model(i, [o, p]), [x]


def caption(k):
    im = k.chain(k.Dense(5, input_dim=6, activation="relu"), k.RepeatVector(4))
    la = k.chain(
        k.Embedding(9, 3, input_length=4),
        k.LSTM(5, return_sequences=True),
        k.TimeDistributed(k.Dense(4)),
    )
    m = k.chain(
        k.Merge([im, la], mode="concat"),
        k.Bidirectional(k.LSTM(3)),
        k.Dense(9),
        k.Activation("softmax"),
    )
    return m, [k.normal(2, 6), k.ids(9, 2, 4)]


def td_th(k):
    m = k.chain(
        k.TimeDistributed(
            k.Convolution2D(2, 2, 2, dim_ordering="th", border_mode="same"),
            input_shape=(3, 2, 5, 4),
        ),
        k.TimeDistributed(k.BatchNormalization(axis=1)),
        k.TimeDistributed(k.Flatten()),
        k.GRU(3),
    )
    return m, [k.normal(2, 3, 2, 5, 4)]


def stateful_td(k):
    m = k.chain(
        k.Embedding(9, 4, batch_input_shape=(2, 5)),
        k.LSTM(4, stateful=True, return_sequences=True),
        k.Dropout(0.1),
        k.TimeDistributed(k.Dense(9)),
        k.Activation("softmax"),
    )
    return m, [k.ids(9, 2, 5)]


def conv_th(k):
    return _conv(k, "th")


def conv_tf(k):
    return _conv(k, "tf")


def _recurrent(k, kind, consume_less):
    layer = getattr(k, kind)
    settings = {"consume_less": consume_less}
    m = k.chain(
        layer(5, input_shape=(6, 3), return_sequences=True, dropout_W=0.1, **settings),
        layer(4, go_backwards=True, return_sequences=True, **settings),
        layer(3, activation="relu", **settings),
    )
    return m, [k.normal(2, 6, 3)]


def _bidirectional(k, mode):
    m = k.chain(
        k.Bidirectional(
            k.LSTM(4, return_sequences=True), merge_mode=mode, input_shape=(5, 3)
        ),
        k.Bidirectional(k.GRU(3, consume_less="gpu"), merge_mode=mode),
    )
    return m, [k.normal(2, 5, 3)]


def _merged(k, mode):
    left = k.chain(k.Dense(4, input_shape=(3,)))
    right = k.chain(k.Dense(6, input_shape=(5,), activation="relu"), k.Dense(4))
    m = k.chain(k.Merge([left, right], mode=mode), k.Dense(2))
    return m, [k.normal(3, 3), k.normal(3, 5)]


VARIANTS = {
    "lstm_cpu": lambda k: _recurrent(k, "LSTM", "cpu"),
    "lstm_mem": lambda k: _recurrent(k, "LSTM", "mem"),
    "lstm_gpu": lambda k: _recurrent(k, "LSTM", "gpu"),
    "gru_cpu": lambda k: _recurrent(k, "GRU", "cpu"),
    "gru_mem": lambda k: _recurrent(k, "GRU", "mem"),
    "gru_gpu": lambda k: _recurrent(k, "GRU", "gpu"),
    "simplernn_cpu": lambda k: _recurrent(k, "SimpleRNN", "cpu"),
    "simplernn_mem": lambda k: _recurrent(k, "SimpleRNN", "mem"),
    "bi_sum": lambda k: _bidirectional(k, "sum"),
    "bi_concat": lambda k: _bidirectional(k, "concat"),
    "seqmerge_sum": lambda k: _merged(k, "sum"),
    "seqmerge_ave": lambda k: _merged(k, "ave"),
    "seqmerge_concat": lambda k: _merged(k, "concat"),
    "seqmerge_mul": lambda k: _merged(k, "mul"),
}
