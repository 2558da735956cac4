"""Models of what only the later tf.keras has. Each function takes a `make.Kit`.

It gives the model, and inputs for it.
"""


def mha(k):
    i = k.Input((5, 6))
    x = k.LayerNormalization(epsilon=1e-05)(i)
    a = k.MultiHeadAttention(2, 3, value_dim=4, dropout=0.1)(x, x)
    y = k.Add()([a, i])
    b = k.MultiHeadAttention(2, 3, output_shape=7)(y, x, return_attention_scores=True)
    return k.Model(i, [b[0], b[1], k.GlobalAveragePooling1D()(y)]), [k.normal(2, 5, 6)]


def causal_attn(k):
    i = k.Input((5, 6))
    a = k.MultiHeadAttention(2, 3)(i, i, use_causal_mask=True)
    c = k.Attention(use_scale=True)([a, i])
    d = k.AdditiveAttention()([c, i])
    e = k.Attention(score_mode="concat")([d, i])
    return k.Model(i, [c, d, e]), [k.normal(2, 5, 6)]


def tfops(k):
    i = k.Input((5, 6))
    x = i * 2.0 + 1.0
    y = k.tf.reduce_mean(x, axis=1, keepdims=True)
    z = k.tf.concat([x, y], 1)[:, 1:-1]
    w = k.tf.nn.relu(z) + k.tf.sqrt(
        k.tf.reduce_sum(k.tf.square(z), -1, keepdims=True) + 1.0
    )
    p = k.tf.matmul(w, w, transpose_b=True)
    s = k.tf.nn.softmax(p)
    q = k.tf.reshape(s, (-1, 16))
    return k.Model(i, [q, k.tf.expand_dims(w, 1), k.tf.transpose(w, [0, 2, 1])]), [
        k.normal(2, 5, 6)
    ]


def prepro(k):
    n = k.Normalization(axis=-1, mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0])
    i = k.Input((6, 6, 3))
    x = k.Rescaling(1 / 255.0, offset=-1)(i)
    x = n(x)
    x = k.CenterCrop(4, 4)(x)
    x = k.Resizing(8, 8)(x)
    x = k.RandomFlip()(x)
    x = k.Conv2D(4, 3, groups=1)(x)
    return k.Model(i, x), [k.normal(2, 6, 6, 3)]


def norm_adapt(k):
    n = k.Normalization()
    n.adapt(k.normal(20, 3))
    i = k.Input((3,))
    return k.Model(i, k.Dense(2)(n(i))), [k.normal(4, 3)]


def groupnorm(k):
    i = k.Input((6, 6, 4))
    x = k.GroupNormalization(2)(i)
    x = k.UnitNormalization()(x)
    x = k.Conv2D(4, 3, groups=2)(x)
    x = k.DepthwiseConv2D(2, activation="gelu")(x)
    x = k.SpatialDropout2D(0.2)(x)
    return k.Model(i, x), [k.normal(2, 6, 6, 4)]


def conv1dt(k):
    i = k.Input((6, 3))
    x = k.Conv1DTranspose(4, 3, strides=2, padding="same")(i)
    x = k.DepthwiseConv1D(3, depth_multiplier=2)(x)
    x = k.SeparableConv1D(3, 2, padding="causal")(x)
    x = k.Activation("swish")(x)
    return k.Model(i, x), [k.normal(2, 6, 3)]


def einsum(k):
    i = k.Input((5, 6))
    x = k.EinsumDense("abc,cd->abd", output_shape=(None, 4), bias_axes="d")(i)
    return k.Model(i, x), [k.normal(2, 5, 6)]


def rnns(k):
    i = k.Input((5, 3))
    x = k.Bidirectional(k.LSTM(4, return_sequences=True))(i)
    y = k.GRU(3, return_sequences=True)(x)
    z = k.GRU(3, reset_after=False)(y)
    w = k.RNN([k.LSTMCell(2), k.GRUCell(3)])(y)
    c = k.ConvLSTM1D(2, 2)(k.Reshape((5, 3, 1))(i))
    return k.Model(i, [z, w, c]), [k.normal(2, 5, 3)]


def masks(k):
    i = k.Input((6,))
    e = k.Embedding(9, 4, mask_zero=True)(i)
    a = k.LSTM(3, return_sequences=True)(e)
    b = k.Conv1D(3, 2, padding="same")(a)
    c = k.GRU(2)(b)
    d = k.GlobalAveragePooling1D()(a)
    g = k.LSTM(2)(k.Concatenate()([a, e]))
    m = k.MultiHeadAttention(1, 2)(e, e)
    x = k.ids(9, 3, 6)
    x[0, 3:] = 0
    return k.Model(i, [c, d, g, m]), [x]


def masks_bi(k):
    i = k.Input((6,))
    e = k.Embedding(9, 4, mask_zero=True)(i)
    a = k.Bidirectional(k.LSTM(3, return_sequences=True))(e)
    b = k.TimeDistributed(k.Dense(2))(a)
    c = k.LSTM(3, return_sequences=True, go_backwards=True)(e)
    x = k.ids(9, 3, 6)
    x[0, 3:] = 0
    return k.Model(i, [a, b, c]), [x]


def shared_seq(k):
    s = k.Sequential(
        [k.Input((3,)), k.Dense(4), k.BatchNormalization(), k.LeakyReLU(0.1)],
        name="enc",
    )
    a = k.Input((3,))
    b = k.Input((3,))
    o = k.Subtract()([s(a), s(b)])
    return k.Model([a, b], k.Dense(1)(k.tf.abs(o))), [k.normal(2, 3), k.normal(2, 3)]


def deferred(k):
    m = k.Sequential([k.Dense(3), k.Dense(2)])
    m.build((None, 4))
    return m, [k.normal(2, 4)]


def resid_ops(k):
    i = k.Input((8, 8, 3))
    x = k.Conv2D(4, 3, padding="same")(i)
    y = k.tf.keras.layers.add([x, k.Conv2D(4, 1)(i)])
    z = k.tf.image.resize(y, (4, 4))
    w = k.tf.nn.l2_normalize(k.tf.math.reduce_max(z, [1, 2]), axis=1)
    v = k.tf.pad(z, [[0, 0], [1, 1], [2, 0], [0, 0]])
    u = k.tf.split(v, 2, axis=-1)[1]
    t = k.tf.stack([w, w * 3], 1)
    return k.Model(
        i, [u, t, k.tf.clip_by_value(w, -0.1, 0.1), k.tf.cast(w > 0, "float32")]
    ), [k.normal(2, 8, 8, 3)]
