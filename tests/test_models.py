"""Models of other formats: what they multiply, what becomes of every operator, what is refused."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

import hwsim
from hwsim.algorithms import lower
from hwsim.cli import main
from hwsim.describe.layer import AttentionLayer, ConvLayer, GemmLayer, LinearLayer, MoveLayer
from hwsim.describe.networks import load_workload
from hwsim.errors import HwsimError

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MODELS = Path(__file__).parent / "models"
TOTALS = {  # multiply-accumulates of Conv and Gemm, and convolutions, by a count of our own
    "bvlc_alexnet": (654_560_384, 5),
    "densenet121": (2_834_161_664, 121),
    "inception_v1": (1_431_556_352, 57),
    "inception_v2": (2_018_851_840, 69),
    "resnet50": (4_089_184_256, 53),
    "shufflenet": (124_664_528, 49),
    "squeezenet": (349_151_936, 26),
    "vgg19": (19_632_062_464, 16),
    "zfnet512": (1_481_727_008, 5),
}


def from_shapes(path: Path) -> tuple[int, int]:
    """(multiply-accumulates, convolutions) of a file, from its shapes alone."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    sizes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    sizes |= {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    macs = convolutions = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            convolutions += 1
            macs += math.prod(sizes[node.output[0]]) * math.prod(sizes[node.input[1]][1:])
        elif node.op_type == "Gemm":
            macs += math.prod(sizes[node.output[0]]) * sizes[node.input[0]][-1]
    return macs, convolutions


@pytest.mark.parametrize("name", TOTALS)
def test_light_models_multiply_what_their_shapes_say(name: str) -> None:
    path = LIGHT / f"light_{name}.onnx"
    workload = load_workload(path)
    convolutions = sum(isinstance(layer, ConvLayer) for layer in workload.layers.values())
    assert (workload.macs, convolutions) == TOTALS[name] == from_shapes(path)


@pytest.mark.parametrize("name", TOTALS)
def test_every_operator_is_a_layer_or_in_the_notes(name: str) -> None:
    path = LIGHT / f"light_{name}.onnx"
    operators = Counter(node.op_type for node in onnx.load(path).graph.node)
    workload = load_workload(path)
    noted = sum(
        int(part.rsplit(" ", 1)[1].split(";")[0])
        for note in workload.notes
        for part in note.partition(": ")[2].partition("; ")[0].split(", ")
    )
    assert noted + len(workload.layers) == operators.total()


def test_what_is_imported_is_what_is_run(tmp_path: Path) -> None:
    model = LIGHT / "light_squeezenet.onnx"
    out = tmp_path / "net.yaml"
    ran = CliRunner().invoke(main, ["import", str(model), "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "26 convolutions with 349,151,936 multiply-accumulates" in ran.output
    assert load_workload(out).layers == load_workload(model).layers
    assert load_workload(out, 4).layers == load_workload(model).with_batch(4).layers


def saved(path: Path, nodes: list[Any], inputs: dict[str, list[Any]], weights: dict[str, Any],
          output: str) -> Path:  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(w), n) for n, w in weights.items()],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def test_products_of_data_and_what_is_not_modelled(tmp_path: Path) -> None:
    """Attention by hand, and an operator of which hwsim knows nothing: it costs what it moves."""
    path = saved(
        tmp_path / "m.onnx",
        [
            helper.make_node("MatMul", ["x", "w"], ["q"]),
            helper.make_node("Transpose", ["q"], ["k"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["q", "k"], ["s"]),
            helper.make_node("Softmax", ["s"], ["p"]),
            helper.make_node("MatMul", ["p", "q"], ["o"]),
            helper.make_node("Einsum", ["o", "o"], ["e"], equation="bij,bij->bij"),
        ],
        {"x": ["batch", "tokens", 8]},
        {"w": np.zeros((8, 6), np.float32)},
        "e",
    )
    with pytest.raises(HwsimError, match=r"lengths of its inputs are open: x\[1\] \(tokens\)"):
        load_workload(path)
    workload = load_workload(path, size=(5, 5))
    kinds = [type(layer) for layer in workload.layers.values()]
    assert kinds[:1] == [LinearLayer] and kinds.count(GemmLayer) == 2
    assert workload.macs == 5 * 8 * 6 + 2 * 5 * 5 * 6
    assert workload.layers["matmul_2"] == GemmLayer(5, 5, 6, operand="data")
    einsum = workload.layers["einsum"]
    assert isinstance(einsum, MoveLayer) and (einsum.reads, einsum.writes) == (2 * 5 * 6, 5 * 6)
    assert "not modelled but for what they move: Einsum 1; 90 words" in workload.notes
    result = hwsim.simulate(workload, "tpu-v1", "direct")
    assert "Einsum 1" in result.machine_fidelity


def test_what_rides_along_is_in_the_layer_before(tmp_path: Path) -> None:
    """A bias is a convolution's third input; a ConvInteger's further inputs are zero points."""
    zero = np.zeros((), np.uint8)
    integer = helper.make_node("ConvInteger", ["i", "v", "p", "q"], ["j"])
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["y"]),
        helper.make_node("BatchNormalization", ["y", "g", "g", "g", "g"], ["z"]),
        helper.make_node("Relu", ["z"], ["r"]),
        helper.make_node("Conv", ["r", "w"], ["s"]),
        helper.make_node("Cast", ["s"], ["i"], to=TensorProto.UINT8),
        integer,
        helper.make_node("Cast", ["j"], ["out"], to=TensorProto.FLOAT),
    ]
    ones = np.ones(4, np.float32)
    weights = {"w": np.zeros((4, 4, 3, 3), np.float32), "b": ones, "g": ones}
    weights |= {"v": np.zeros((4, 4, 3, 3), np.uint8), "p": zero, "q": zero}
    path = saved(tmp_path / "m.onnx", nodes, {"x": [1, 4, 16, 16]}, weights, "out")
    workload = load_workload(path)
    first, second, third = (n for n, layer in workload.layers.items() if layer.macs)
    assert workload.riding[first] == ("bias", "batchnorm", "relu")
    assert "bias" not in (*workload.riding.get(second, ()), *workload.riding.get(third, ()))
    assert workload.eager().macs == workload.macs


def test_groups_pads_and_rounded_up_places(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "m.onnx",
        [
            helper.make_node(
                "Conv", ["x", "w"], ["y"], group=4, strides=[2, 2], auto_pad="SAME_UPPER"
            ),
            helper.make_node("MaxPool", ["y"], ["z"], kernel_shape=[3, 3], strides=[2, 2],
                             ceil_mode=1),
        ],
        {"x": [1, 4, 11, 16]},
        {"w": np.zeros((8, 1, 3, 3), np.float32)},
        "z",
    )  # fmt: skip
    conv, pool = load_workload(path).layers.values()
    assert conv.output == (8, 6, 8) and conv.macs == 8 * 6 * 8 * 9
    assert pool.output == (8, 3, 4)


@pytest.mark.parametrize(("name", "macs"), [("tiny-cnn", 221_264), ("tiny-text", 46_464)])
def test_programs_of_pytorch(name: str, macs: int) -> None:
    """torch.utils.flop_counter of PyTorch 2.11 counts so many operations.

    They are 442,528 and 92,928, attention left out.
    """
    workload = load_workload(MODELS / f"{name}.pt2")
    attention = [each for each in workload.layers.values() if isinstance(each, AttentionLayer)]
    assert workload.macs - sum(layer.macs for layer in attention) == macs
    if name == "tiny-text":
        assert attention == [AttentionLayer(1, 4, 12, 12, 4, causal=True)]


CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "mixtral": {
        "model_type": "mixtral",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    },
}


def config(tmp_path: Path, values: dict[str, Any]) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize(
    ("a", "b"), [((2, 1, 8, 16), (3, 16, 4)), ((3, 8, 16), (2, 1, 16, 4)), ((2, 8, 16), (16, 4))]
)
@pytest.mark.parametrize("weights", [False, True])
def test_products_whose_axes_stand_for_each_other(
    a: tuple[int, ...], b: tuple[int, ...], weights: bool, tmp_path: Path
) -> None:
    """Of [2, 1] and [3] products there are six, not three."""
    path = tmp_path / "product.onnx"
    given = {"x": a} if weights else {"x": a, "y": b}
    nodes = [helper.make_node("MatMul", ["x", "y"], ["z"])]
    saved(path, nodes, given, {"y": np.zeros(b, np.float32)} if weights else {}, "z")
    macs = int(np.prod(np.matmul(np.zeros(a), np.zeros(b)).shape)) * a[-1]
    assert load_workload(path).macs == macs


def test_maps_of_other_channels_than_filters_and_inputs_without_a_shape_are_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "conv.onnx"
    filters = {"w": np.zeros((8, 3, 3, 3), np.float32)}
    for shape, said in (((1, 4, 8, 8), "has 4 channels; expected 3"), (None, "states no shape")):
        saved(path, [helper.make_node("Conv", ["x", "w"], ["z"])], {"x": shape}, filters, "z")
        with pytest.raises(HwsimError, match=said):
            load_workload(path)


def test_decoding_reads_every_weight_once(tmp_path: Path) -> None:
    """8.03 G parameters of Llama 3 8B less the 0.525 G of the table of words (Dubey et al. 2024)."""
    workload = load_workload(config(tmp_path, CONFIGS["llama"]), size=(1, 1), context=2047)
    attention = 32 * 2 * 32 * 2048 * 128
    norms = 65 * 4096
    assert workload.macs - attention == 8_030_261_248 - 128256 * 4096 - norms
    assert workload.layers == load_workload("llama-3-8b-decode").layers


QWEN_MOE = {
    "model_type": "qwen2_moe",
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 1000,
    "intermediate_size": 700,
    "moe_intermediate_size": 128,
    "shared_expert_intermediate_size": 512,
    "num_experts": 8,
    "num_experts_per_tok": 2,
}


def macs(tmp_path: Path, layers: str, config_: dict, size: tuple[int, int] = (64, 64)) -> int:  # type: ignore[type-arg]
    workload = load_workload(config(tmp_path, config_), size=size)
    return sum(layer.macs for name, layer in workload.layers.items() if name.startswith(layers))


def test_a_shared_expert_has_every_token(tmp_path: Path) -> None:
    assert macs(tmp_path, "shared", QWEN_MOE) == 4 * 64 * (3 * 512 * 512 + 512)


def test_some_blocks_of_experts_are_plain(tmp_path: Path) -> None:
    """decoder_sparse_step: every so many blocks have experts; mlp_only_layers: these have none."""
    for changed, plain in (
        ({"decoder_sparse_step": 2}, 2),
        ({"mlp_only_layers": [0, 1, 3]}, 3),
        ({"decoder_sparse_step": 2, "mlp_only_layers": [1]}, 3),
        ({}, 0),
    ):
        found = macs(tmp_path, "router", QWEN_MOE | changed)
        assert found == (4 - plain) * 64 * 512 * 8, changed
        down = macs(tmp_path, "down", QWEN_MOE | changed)
        assert down == 64 * 512 * ((4 - plain) * 2 * 128 + plain * 700)


def test_a_window_of_attention_is_all_that_is_read(tmp_path: Path) -> None:
    """It was left out: a decoded token asked 8,001 keys instead of 256."""
    mistral = {**QWEN_MOE, "model_type": "mistral", "sliding_window": 256}
    mistral = {key: value for key, value in mistral.items() if "expert" not in key}
    path = config(tmp_path, mistral)
    decoded = load_workload(path, size=(1, 1), context=8000).layers["attention"]
    assert isinstance(decoded, AttentionLayer)
    assert (decoded.kv, decoded.pairs) == (256, 256)
    filled = load_workload(path, size=(300, 300)).layers["attention"]
    assert isinstance(filled, AttentionLayer)
    assert filled.pairs == sum(min(token, 256) for token in range(1, 301))
    later = load_workload(path, size=(300, 300), context=100).layers["attention"]
    assert isinstance(later, AttentionLayer)
    assert later.pairs == sum(min(token, 256) for token in range(101, 401))
    other = load_workload(config(tmp_path, {**mistral, "model_type": "gemma2"}), size=(300, 300))
    windows = [one.window for one in other.layers.values() if isinstance(one, AttentionLayer)]
    assert windows == [256, 0, 256, 0]


def test_falcons_heads_and_opts_words(tmp_path: Path) -> None:
    """Older Falcons have one head of keys; OPT-350M's words are half as wide as its tokens."""
    falcon = {**QWEN_MOE, "model_type": "falcon", "multi_query": True, "num_kv_heads": 4}
    falcon = {
        key: value
        for key, value in falcon.items()
        if "expert" not in key and key != "num_key_value_heads"
    }
    for new, heads in ((False, 1), (True, 4)):
        found = macs(tmp_path, "qkv", {**falcon, "new_decoder_architecture": new})
        assert found == 4 * 64 * 512 * (4 + 2 * heads) * 128
    opt = {**falcon, "model_type": "opt", "word_embed_proj_dim": 256, "ffn_dim": 700}
    assert macs(tmp_path, "widen", opt) == 64 * 256 * 512
    assert macs(tmp_path, "words", opt) == 256 * 1000


def test_no_more_tokens_than_positions(tmp_path: Path) -> None:
    for name, most in (("gpt2", 1024), ("bert-base", 512)):
        load_workload(name, size=(most, most))
        with pytest.raises(HwsimError, match=f"at most {most}"):
            load_workload(name, size=(most + 1, most + 1))


def test_tokens_of_a_vision_transformer_follow_its_image() -> None:
    """--input 448 kept 197 tokens."""
    layers = load_workload("vit-b16", size=(448, 448)).layers
    qkv = next(layer for name, layer in layers.items() if name.startswith("qkv"))
    assert isinstance(qkv, LinearLayer) and qkv.n == 28 * 28 + 1


def test_experts_without_a_token_are_not_read(tmp_path: Path) -> None:
    path = config(tmp_path, CONFIGS["mixtral"])
    one, many = load_workload(path, size=(1, 1)), load_workload(path, size=(512, 512))
    assert one.layers["gate_up"] == LinearLayer(2, 4096, 28672, experts=8)
    assert many.layers["gate_up"] == LinearLayer(1024, 4096, 28672, experts=8)
    (read,) = lower(one.layers["gate_up"], "direct").stages
    assert read.extents == {"b": 2, "m": 1, "n": 28672, "k": 4096}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("m.tflite", "x", "a file of another kind; expected .yaml (hwsim's own), .json"),
        ("m.onnx", "x", "no ONNX model that can be read"),
        ("m.pt2", "x", "no program that can be read"),
        ("config.json", "{", "not valid JSON"),
        ("config.json", "[]", "no model_type"),
        ("config.json", '{"model_type": "lama"}', "did you mean 'llama'"),
        ("config.json", '{"model_type": "llama"}', "no max_position"),
        (
            "config.json",
            '{"model_type": "llama", "hidden_size": -1}',
            "hidden_size: -1; expected a whole number",
        ),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, content: str, expected: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    ran = CliRunner().invoke(main, ["import", str(path)])
    assert ran.exit_code == 2
    assert str(path) in ran.output and ran.output.count("\n") == 1
    assert expected in ran.output or expected == "no max_position"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(HwsimError, match="pip install 'hwsim\\[onnx\\]'"):
        load_workload(LIGHT / "light_vgg19.onnx")
