"""Functional models in the words of Keras 2. Each function takes a `make.Kit`.

It gives the model, and inputs for it.
"""


def funmerge(k):
    a = k.Input((6,), name="a")
    b = k.Input((6,), name="b")
    d = k.Dense(6, activation="tanh")
    x = d(a)
    y = d(b)
    return k.Model(
        [a, b],
        [
            k.merge([x, y], mode=m, name="m_" + m)
            for m in ("sum", "mul", "concat", "ave", "dot", "cos", "max")
        ],
    ), [k.normal(3, 6), k.normal(3, 6)]


def seq2seq(k):
    e = k.Input((None, 4))
    __, a, b = k.LSTM(5, return_state=True)(e)
    d = k.Input((None, 3))
    y = k.LSTM(5, return_sequences=True, return_state=True)(d, initial_state=[a, b])
    o = k.Dense(2, activation="softmax")(y[0])
    return k.Model([e, d], o), [k.normal(2, 5, 4), k.normal(2, 3, 3)]


def merges(k):
    a = k.Input((6,), name="a")
    b = k.Input((6,), name="b")
    d = k.Dense(6, activation="tanh")
    x = d(a)
    y = d(b)
    ls = [
        k.Add(),
        k.Multiply(),
        k.Concatenate(),
        k.Average(),
        k.Maximum(),
        k.Dot(-1),
        k.Dot(1, normalize=True),
        k.Subtract(),
    ]
    return k.Model([a, b], [layer([x, y]) for layer in ls]), [
        k.normal(3, 6),
        k.normal(3, 6),
    ]


def merge3(k):
    a = k.Input((4, 6))
    x = k.LSTM(5, return_sequences=True)(a)
    y = k.GRU(5, return_sequences=True)(a)
    z = k.Dot([2, 2])([x, y])
    c = k.Concatenate(axis=1)([x, y])
    p = k.Permute((2, 1))(c)
    r = k.Reshape((-1,))(p)
    v = k.RepeatVector(3)(k.Dense(2)(r))
    w = k.Concatenate()([k.Flatten()(z), k.Flatten()(v)])
    return k.Model(a, [w, z]), [k.normal(2, 4, 6)]


def nested_fun(k):
    i = k.Input((6,))
    e = k.Model(i, [k.Dense(3, name="e1")(i), k.Dense(2, name="e2")(i)], name="enc")
    j = k.Input((6,))
    h = k.Input((6,))
    p, q = e(j)
    r, s = e(h)
    o = k.Add()([p, r])
    return k.Model([j, h], [o, k.Dense(2)(k.Concatenate()([q, s]))]), [
        k.normal(3, 6),
        k.normal(3, 6),
    ]


def partly_frozen(k):
    s = k.chain(
        k.Dense(3, input_shape=(4,), trainable=False),
        k.BatchNormalization(),
        k.Dense(2),
        name="s",
    )
    i = k.Input((4,))
    o = k.Dense(3)(s(i))
    return k.Model(i, o), [k.normal(3, 4)]


def repeated(k):
    d = k.Dense(4)
    i = k.Input((4,))
    o = d(d(k.Dense(4)(i)))
    return k.Model(i, o), [k.normal(3, 4)]


def emb_two(k):
    a = k.Input((5,), dtype="int32")
    b = k.Input((1,), dtype="int32")
    e = k.Embedding(9, 4)
    x = k.Flatten()(e(a))
    y = k.Reshape((4,))(e(b))
    o = k.Concatenate()([x, y])
    return k.Model([a, b], k.Dense(3)(o)), [k.ids(9, 3, 5), k.ids(9, 3, 1)]


def hier(k):
    s = k.chain(k.Embedding(9, 4, input_length=5), k.Bidirectional(k.LSTM(3)))
    i = k.Input((4, 5))
    o = k.TimeDistributed(s)(i)
    o = k.Bidirectional(k.LSTM(2))(o)
    return k.Model(i, o), [k.ids(9, 2, 4, 5)]


def mask_concat(k):
    i = k.Input((6,))
    e = k.Embedding(9, 4, mask_zero=True)(i)
    a = k.LSTM(3, return_sequences=True)(e)
    b = k.GRU(3, return_sequences=True)(e)
    c = k.Concatenate()([a, b])
    d = k.Add()([a, b])
    o = k.LSTM(2)(c)
    p = k.GRU(2)(d)
    q = k.LSTM(2)(k.BatchNormalization()(c))
    x = k.ids(9, 3, 6)
    x[0, 3:] = 0
    return k.Model(i, [o, p, q]), [x]


def mask_td(k):
    i = k.Input((6,))
    e = k.Embedding(9, 4, mask_zero=True)(i)
    a = k.TimeDistributed(k.Dense(3, activation="tanh"))(e)
    b = k.Dropout(0.1)(a)
    c = k.LSTM(2)(k.Activation("relu")(b))
    d = k.GRU(2)(k.LeakyReLU()(k.Dense(3)(e)))
    x = k.ids(9, 3, 6)
    x[0, 3:] = 0
    return k.Model(i, [c, d]), [x]


def bi_state(k):
    e = k.Input((None, 4))
    h, fa, fb, ba, bb = k.Bidirectional(k.LSTM(3, return_state=True))(e)
    d = k.Input((None, 2))
    y = k.LSTM(6, return_sequences=True)(
        d, initial_state=[k.Concatenate()([fa, ba]), k.Concatenate()([fb, bb])]
    )
    z = k.Bidirectional(k.LSTM(3, return_sequences=True), merge_mode="sum")(
        y, initial_state=[fa, fb, ba, bb]
    )
    return k.Model([e, d], [z, h]), [k.normal(2, 5, 4), k.normal(2, 3, 2)]


def stacked_state(k):
    i = k.Input((5, 2))
    r = k.RNN([k.LSTMCell(3), k.LSTMCell(4)], return_state=True, return_sequences=True)(
        i
    )
    return k.Model(i, r), [k.normal(2, 5, 2)]


def gru_state(k):
    i = k.Input((5, 2))
    y, s = k.GRU(3, return_state=True, return_sequences=True)(i)
    t = k.SimpleRNN(3, return_sequences=True)(y, initial_state=s)
    return k.Model(i, t), [k.normal(2, 5, 2)]


def bn_axes(k):
    i = k.Input((4, 5, 3))
    a = k.BatchNormalization(axis=1)(i)
    b = k.BatchNormalization(axis=2)(i)
    c = k.BatchNormalization(axis=-2, scale=False)(i)
    d = k.Flatten()(i)
    e = k.BatchNormalization(axis=1)(d)
    g = k.Reshape((20, 3))(i)
    h = k.BatchNormalization(axis=1)(g)
    return k.Model(i, [a, b, c, e, h]), [k.normal(2, 4, 5, 3)]


def dots(k):
    a = k.Input((4, 6))
    b = k.Input((5, 6))
    c = k.Input((6,))
    return k.Model(
        [a, b, c],
        [
            k.Dot((2, 2))([a, b]),
            k.Dot((2, 1))([a, c]),
            k.Dot(axes=(2, 2), normalize=True)([a, b]),
        ],
    ), [k.normal(2, 4, 6), k.normal(2, 5, 6), k.normal(2, 6)]


def attn(k):
    i = k.Input((5, 3))
    h = k.Bidirectional(k.LSTM(3, return_sequences=True))(i)
    a = k.Dense(1, activation="tanh")(h)
    a = k.Flatten()(a)
    a = k.Activation("softmax")(a)
    a = k.RepeatVector(6)(a)
    a = k.Permute((2, 1))(a)
    m = k.Multiply()([h, a])
    o = k.GlobalAveragePooling1D()(m)
    return k.Model(i, k.Dense(2)(o)), [k.normal(2, 5, 3)]


def pools_dyn(k):
    i = k.Input((None, None, 3))
    x = k.Conv2D(4, 3, padding="same", strides=2)(i)
    x = k.MaxPooling2D(padding="same")(x)
    x = k.UpSampling2D()(x)
    y = k.GlobalMaxPooling2D()(x)
    return k.Model(i, [x, y]), [k.normal(2, 9, 7, 3)]


def twice_named(k):
    inner = k.chain(k.Dense(3, input_shape=(4,), name="d"), name="same")
    i = k.Input((4,))
    o = k.Dense(2, name="d")(inner(i))
    return k.Model(i, o), [k.normal(2, 4)]


def deep_nest(k):

    def blk(n, name):
        i = k.Input((n,))
        x = k.Dense(n, name=name + "_a")(i)
        x = k.BatchNormalization(name=name + "_bn")(x)
        return k.Model(i, k.Add()([i, x]), name=name)

    i = k.Input((4,))
    b = blk(4, "b")
    inner = k.Model(i, k.Dense(3)(b(b(i))), name="outer")
    j = k.Input((4,))
    return k.Model(j, k.Dense(2)(inner(j))), [k.normal(3, 4)]


def multi_io(k):
    a = k.Input((3,), name="za")
    b = k.Input((2,), name="ab")
    x = k.Dense(4, name="y")(k.Concatenate()([b, a]))
    return k.Model([a, b], [k.Dense(1, name="o2")(x), x, k.Dense(2, name="o1")(x)]), [
        k.normal(2, 3),
        k.normal(2, 2),
    ]
