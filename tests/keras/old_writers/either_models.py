"""Models in words that Keras 1 and 2 share. Each function takes a `make.Kit`.

It gives the model, and inputs for it.
"""


def masked(k):
    m = k.chain(
        k.Embedding(9, 4, mask_zero=True, input_length=7),
        k.LSTM(5, return_sequences=True),
        k.Dropout(0.2),
        k.GRU(4, return_sequences=True),
        k.TimeDistributed(k.Dense(3)),
        k.SimpleRNN(3),
        k.Dense(2),
    )
    x = k.ids(9, 4, 7)
    x[0, 4:] = 0
    x[1, :2] = 0
    return m, [x]


def td_model(k):
    s = k.chain(
        k.Dense(4, input_shape=(3,)), k.BatchNormalization(), k.Activation("tanh")
    )
    i = k.Input((5, 3))
    o = k.TimeDistributed(s)(i)
    o = k.GRU(2)(o)
    return k.Model(i, o), [k.normal(2, 5, 3)]


def stateful(k):
    m = k.chain(
        k.LSTM(4, batch_input_shape=(2, 3, 3), stateful=True, return_sequences=True),
        k.GRU(3, stateful=True),
    )
    return m, [k.normal(2, 3, 3)]


def nested(k):
    inner = k.chain(k.Dense(4, input_shape=(3,)), k.BatchNormalization())
    mid = k.chain(inner, k.Dense(5))
    m = k.chain(mid, k.Dense(2))
    return m, [k.normal(3, 3)]


def frozen(k):
    m = k.chain(
        k.Dense(4, input_shape=(3,), trainable=False),
        k.BatchNormalization(trainable=False),
    )
    s = k.chain(k.Dense(3, input_shape=(4,)), k.BatchNormalization())
    s.trainable = False
    m.add(s)
    m.add(k.Dense(2))
    return m, [k.normal(3, 3)]


def unroll_masked(k):
    m = k.chain(
        k.Masking(0.0, input_shape=(6, 3)),
        k.LSTM(4, return_sequences=True, unroll=True),
        k.GRU(3, unroll=True, return_sequences=True),
    )
    x = k.normal(3, 6, 3)
    x[0, 3:] = 0
    x[1, 0] = 0
    return m, [x]


def back_masked(k):
    m = k.chain(
        k.Masking(0.0, input_shape=(6, 3)),
        k.LSTM(4, return_sequences=True, go_backwards=True),
    )
    x = k.normal(3, 6, 3)
    x[0, 3:] = 0
    x[1, 0] = 0
    return m, [x]
