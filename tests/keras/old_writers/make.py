"""Makes an archive beside it: models of an old Keras, written by that Keras.

    python make.py WRITER FOLDER [MODEL...]

writes the files of each of the writer's models (`WRITERS`), or of some, to a folder:
NAME.h5 is the whole model, NAME.json or NAME.yaml with NAME.weights.h5 its parts
(NAME.keras in tf.keras 2.15), NAME.npz its inputs and outputs; NAME.tagged.yaml is a
text that names code, which graphjit refuses.

    python make.py pack FOLDER WRITER.zip

makes an archive of them. What has to be there, by the name of the writer:

- keras-1.*-theano, keras-2.2.4-theano: Python 3.6; keras of that version, Theano 1.0.5,
  h5py 2.10, numpy 1.16, scipy 1.3, PyYAML 3.13 (for Keras 2.2.4 its keras_applications
  and keras_preprocessing); ``KERAS_BACKEND=theano``, and
  ``THEANO_FLAGS=floatX=float32,optimizer=fast_compile,gcc.cxxflags=-O0``, without which
  Theano compiles for minutes (for `merges` and `merge3`, without BLAS, ``cxx=`` too);
- keras-2.*-tensorflow, tf.keras-1.15: Python 3.7; that keras, tensorflow 1.15,
  h5py 2.10, PyYAML 3.13, protobuf 3.20; ``KERAS_BACKEND=tensorflow``;
- tf.keras-2.15: Python 3.11; tensorflow-cpu 2.15.
"""

import contextlib
import importlib
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np

KERAS1 = ("either_models", "keras1_models")
KERAS2 = ("either_models", "keras2_chains", "keras2_graphs")

#: For each writer the modules of its models, and those that it wrote.
WRITERS = {
    "keras-1.0.8-theano": (
        KERAS1,
        "conv_th conv_tf mlp pool_same atrous deconv conv3d lstm_cpu gru_gpu "
        "simplernn_mem masking bi_sum seqmerge_sum nested_fun stateful bnmode2 "
        "nested_merge mask_merge bn_seq td_th",
    ),
    "keras-1.1.2-theano": (
        KERAS1,
        "mlp conv_th conv_same_even conv1d conv_full lstm_mem gru_cpu masked "
        "bi_masked seqmerge_ave local2d convlstm frozen",
    ),
    "keras-1.2.2-theano": (
        KERAS1,
        "mlp conv_th conv_tf pool_same conv_same_even deconv deconv_same "
        "conv1d_same_even conv3d lstm_gpu gru_mem simplernn_cpu masked bi_concat "
        "td_model merges merge3 seqmerge_concat seqmerge_mul seqmerge_rnn nested "
        "frozen repeated rnn_softmax back_masked bn_default_th caption pad4 "
        "stateful_td td_lstm unroll_masked siamese",
    ),
    "keras-2.0.9-tensorflow": (
        KERAS2,
        "legacy funmerge mlp conv_cl local local_cf lstm_0 gru_1 bi_convlstm "
        "mask_concat bn_axes stateful inputlayer frozen",
    ),
    "keras-2.1.6-tensorflow": (
        KERAS2,
        "cells sepconv1d soft gru_after merges frozen partly_frozen bi_state "
        "stacked_state td_emb deconv3d sep_dil seq2seq gru_state",
    ),
    "keras-2.2.4-tensorflow": (
        KERAS2,
        "relu6 masked_gap masked conv1d conv3d inputlayer simplernn_2 emb_two "
        "twice_named deep_nest dots causal mlp",
    ),
    "keras-2.2.4-theano": (
        KERAS2,
        "conv_cf conv_cl conv1d conv3d convlstm deconv dilated same_even separable "
        "td_conv",
    ),
    "keras-2.3.1-tensorflow": (
        KERAS2,
        "lstm_2 gru_1 relu6 hier attn td_bi multi_io pools_dyn merge3 fixed_batch "
        "unroll_masked back_masked sep_strides same_even nested",
    ),
    "tf.keras-1.15": (
        KERAS2,
        "bi_state stacked_state mask_td lstm_2 gru_after local nested_fun cells "
        "conv_cl depthwise relu6 cfirst3d frozen",
    ),
    "tf.keras-2.15": (
        ("keras2_15_models", *KERAS2),
        "mha causal_attn tfops prepro norm_adapt groupnorm conv1dt einsum rnns masks "
        "masks_bi shared_seq deferred resid_ops mask_concat hier bi_state "
        "deep_nest convlstm_cf deconv_op bn_axes",
    ),
}

#: Where an old Keras has its names; later ones have fewer of these.
MODULES = (
    "models layers layers.advanced_activations layers.noise layers.wrappers "
    "legacy.layers regularizers"
)

#: Draws that give no number, or the same one everywhere, say nothing: others are tried.
DRAWS = 50


class Kit:
    """What the functions of the models are given: a Keras's names, and random data."""

    def __init__(self, keras, root, version):
        self._modules = [keras]
        for name in MODULES.split():
            with contextlib.suppress(ImportError):
                self._modules.append(importlib.import_module(f"{root}.{name}"))
        self.backend = importlib.import_module(f"{root}.backend")
        self.version = tuple(int(part) for part in version.split("-")[0].split("."))
        self.theano = self.backend.backend() == "theano"
        self.random = np.random.RandomState(0)

    def __getattr__(self, name):
        for module in self._modules:
            if hasattr(module, name):
                return getattr(module, name)
        if name == "DepthwiseConv2D":
            return importlib.import_module(
                "keras.applications.mobilenet"
            ).DepthwiseConv2D
        if name == "tf":
            return importlib.import_module("tensorflow")
        raise AttributeError(f"no {name} in Keras {self.version}")

    def chain(self, *layers, **settings):
        model = self.Sequential(**settings)
        for layer in layers:
            model.add(layer)
        return model

    def normal(self, *shape):
        return np.asarray(self.random.randn(*shape)).astype("float32")

    def ids(self, count, *shape):
        return self.random.randint(0, count, shape)


def kit_of(writer):
    if not writer.startswith("tf"):
        if writer.endswith("theano"):
            # Keras imports Theano without it.
            importlib.import_module("theano.ifelse")
        keras = importlib.import_module("keras")
        return Kit(keras, "keras", keras.__version__)
    tensorflow = importlib.import_module("tensorflow")
    if writer == "tf.keras-1.15":
        tensorflow.compat.v1.disable_v2_behavior()
    keras = tensorflow.keras
    version = getattr(keras, "__version__", tensorflow.__version__)
    return Kit(keras, "tensorflow.keras", version)


def functions_of(modules):
    found = {}
    for name in modules:
        module = importlib.import_module(name)
        found.update(vars(module).get("VARIANTS", {}))
        found.update(vars(module))
    return found


def draw_weights(kit, model):
    """Other weights; variances above zero. Keras 1 calls them ``running_std``.

    An adapted `Normalization` computes with copies: its weights stay.
    """
    for weight in model.weights:
        old = kit.backend.get_value(weight)
        adapted = weight.name.split("/")[-1] in ("mean:0", "variance:0")
        if adapted or old.dtype.kind != "f":
            continue
        new = kit.normal(*old.shape) * np.float32(0.4)
        if "running_std" in weight.name or "variance" in weight.name:
            new = np.abs(new) + np.float32(0.3)
        kit.backend.set_value(weight, new)


def says_something(outputs):
    return all(np.isfinite(y).all() and np.ptp(y) > 1e-3 for y in outputs)


def computed(kit, model, inputs):
    outputs = model.predict(
        inputs if len(inputs) > 1 else inputs[0], batch_size=len(inputs[0])
    )
    if hasattr(model, "reset_states"):
        model.reset_states()
    return outputs if isinstance(outputs, list) else [outputs]


def make(kit, name, function, folder):
    """Build one model, run it, and write its files."""
    kit.random.seed(zlib.crc32(name.encode()))
    if not kit.theano:
        kit.backend.clear_session()
    model, inputs = function(kit)
    model.compile("adam", "mse")
    for _ in range(DRAWS):
        draw_weights(kit, model)
        outputs = computed(kit, model, inputs)
        if says_something(outputs):
            break
    else:
        raise ValueError(f"{name}: no draw of {DRAWS} says something")
    arrays = {f"x{at}": x for at, x in enumerate(inputs)}
    arrays.update({f"y{at}": y for at, y in enumerate(outputs)})
    arrays = {
        k: v.astype("float32" if v.dtype.kind == "f" else "int32")
        for k, v in arrays.items()
    }
    path = str(folder / name)
    np.savez(f"{path}.npz", **arrays)
    model.save(f"{path}.h5", overwrite=True)
    if kit.version >= (2, 12):
        model.save(f"{path}.keras")
        return
    model.save_weights(f"{path}.weights.h5", overwrite=True)
    write_text(model, path)


def write_text(model, path):
    """Every third as YAML; where that names code, as JSON too."""
    text = model.to_yaml()
    tagged = "!!python/object" in text
    if zlib.crc32(Path(path).name.encode()) % 3 == 0:
        Path(path + (".tagged.yaml" if tagged else ".yaml")).write_text(text)
        if not tagged:
            return
    Path(f"{path}.json").write_text(model.to_json())


def pack(folder, target):
    """Equal files make equal archives."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(path.name, (2026, 11, 22, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes(), compresslevel=9)


def main(writer, folder, *names):
    modules, wanted = WRITERS[writer]
    folder.mkdir(parents=True, exist_ok=True)
    functions = functions_of(modules)
    kit = kit_of(writer)
    for name in names or wanted.split():
        make(kit, name, functions[name], folder)
        print(writer, name, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "pack":
        pack(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
