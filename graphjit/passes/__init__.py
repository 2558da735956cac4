"""Rewrites of graphs: `run`, the pipelines, and every pass."""

from graphjit.passes.base import Pass, PassLog
from graphjit.passes.fold_norm import FoldNorm
from graphjit.passes.fold_padding import FoldPadding
from graphjit.passes.freeze import Freeze
from graphjit.passes.fuse_epilogue import FuseEpilogue
from graphjit.passes.mask_rows import MaskRows
from graphjit.passes.merge_parallel import MergeParallel
from graphjit.passes.mixed_precision import MixedPrecision
from graphjit.passes.move_transposes import MoveTransposes
from graphjit.passes.pack_weights import PackWeights
from graphjit.passes.pipeline import INFERENCE, TRAINING, run
from graphjit.passes.prologue import split_prologue
from graphjit.passes.remat import Remat
from graphjit.passes.roll_blocks import RollBlocks
from graphjit.passes.select_kernels import SelectKernels
from graphjit.passes.simplify import Simplify
from graphjit.passes.to_inference import ToInference
from graphjit.passes.winograd import Winograd

__all__ = [
    "INFERENCE",
    "TRAINING",
    "FoldNorm",
    "FoldPadding",
    "Freeze",
    "FuseEpilogue",
    "MaskRows",
    "MergeParallel",
    "MixedPrecision",
    "MoveTransposes",
    "PackWeights",
    "Pass",
    "PassLog",
    "Remat",
    "RollBlocks",
    "SelectKernels",
    "Simplify",
    "ToInference",
    "Winograd",
    "run",
    "split_prologue",
]
