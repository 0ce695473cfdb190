"""Presets against command lines, written out by hand from the recipes' published tables."""

from __future__ import annotations

import shlex

import pytest

from qaickit import options as table
from qaickit.compile.presets import resolve_preset
from qaickit.compiler.flags import from_argv, to_argv
from qaickit.errors import InvalidArgumentError

HEAD = "-aic-hw -aic-hw-version=2.0 -compile-only "
BERT = HEAD + (
    "-execute-nodes-in-fp16=Mul,Sqrt,Div,Add,ReduceMean,Softmax,Sub,Gather,Erf,Pow,Concat,Tile,"
    "LayerNormalization -quantization-schema=symmetric_with_uint8 -quantization-precision=Int8 "
    "-quantization-precision-bias=Int32 -vvv -onnx-define-symbol=batch_size,1 "
    "-onnx-define-symbol=seg_length,384 -multicast-weights -combine-inputs=false "
    "-combine-outputs=false "
)
BERT_TILES = (
    "-allocator-dealloc-delay=2 -size-split-granularity=1536 -vtcm-working-set-limit-ratio=1 "
)
BERT_999 = HEAD + (
    "-convert-to-fp16 -vvv -onnx-define-symbol=batch_size,1 -onnx-define-symbol=seg_length,384 "
    "-combine-inputs=false -combine-outputs=false "
)
RESNET = HEAD + (
    "-quantization-schema=symmetric_with_uint8 -quantization-precision=Int8 "
    "-output-node-name=ArgMax -vvv -use-producer-dma=1 "
)
RETINANET = HEAD + (
    "-enable-channelwise -onnx-define-symbol=batch_size,1 "
    "-quantization-schema-constants=symmetric_with_uint8 "
    "-quantization-schema-activations=asymmetric -quantization-calibration=None "
)

LINES = {
    "bert-99": BERT + "-aic-num-cores=8 -mos=8 -ols=1",
    "bert-99,singlestream": BERT + "-aic-num-cores=8 -mos=8 -ols=1",
    "bert-99,singlestream,nsp.14": BERT + "-aic-num-cores=8 -mos=8 -ols=1",
    "bert-99,offline": BERT + BERT_TILES + "-aic-num-cores=1 -mos=1 -ols=3",
    "bert-99,offline,nsp.14": BERT + BERT_TILES + "-aic-num-cores=1 -mos=1 -ols=3",
    "bert-99,server": BERT + BERT_TILES + "-aic-num-cores=1 -mos=1 -ols=3",
    "bert-99,server,nsp.14": BERT + BERT_TILES + "-aic-num-cores=1 -mos=1 -ols=3",
    "bert-99,offline,pc.99.9980": BERT
    + BERT_TILES
    + "-aic-num-cores=1 -mos=1 -ols=3 -quantization-calibration=Percentile "
    "-percentile-calibration-value=99.9980",
    "bert-99.9,offline": BERT_999 + "-aic-num-cores=2 -mos=1 -ols=2",
    "bert-99.9,offline,nsp.14": BERT_999 + "-aic-num-cores=2 -mos=1 -ols=2",
    "bert-99.9,offline,nsp.16": BERT_999 + "-aic-num-cores=2 -mos=1 -ols=2",
    "bert-99.9,server": BERT_999 + "-aic-num-cores=2",
    "bert-99.9,server,nsp.14": BERT_999 + "-aic-num-cores=2",
    "resnet50": RESNET + "-aic-num-of-instances=1 -aic-num-cores=8 -mos=1 -ols=1",
    "resnet50,singlestream,nsp.14,bs.1": RESNET
    + "-aic-num-of-instances=1 -aic-num-cores=8 -mos=1 -ols=1 -batchsize=1",
    "resnet50,offline": RESNET
    + "-sdp-cluster-sizes=2,2 -multicast-weights -aic-num-cores=4 -mos=1,2 -ols=4",
    "resnet50,offline,nsp.14,bs.8": RESNET
    + "-sdp-cluster-sizes=2,2 -multicast-weights -aic-num-cores=4 -mos=1,2 -ols=4 -batchsize=8",
    "resnet50,server,nsp.14,bs.8": RESNET
    + "-sdp-cluster-sizes=2,2 -mos=1,2 -multicast-weights -aic-num-cores=4 -ols=4 -batchsize=8",
    "resnet50,server,nsp.16": RESNET + "-sdp-cluster-sizes=4,4 -mos=1,4 -aic-num-cores=4 -ols=4",
    "resnet50,multistream": RESNET + "-sdp-cluster-sizes=4,4 -mos=1,4",
    "resnet50,multistream,nsp.14": RESNET + "-sdp-cluster-sizes=4,4 -mos=1,4 -aic-num-cores=4",
    "retinanet": RETINANET + "-aic-num-cores=8 -mos=1 -ols=1",
    "retinanet,singlestream,nsp.14": RETINANET + "-aic-num-cores=8 -mos=1 -ols=1",
    "retinanet,offline": RETINANET + "-aic-enable-depth-first -aic-num-cores=1 -mos=1 -ols=1",
    "retinanet,offline,nsp.14": RETINANET
    + "-aic-enable-depth-first -aic-num-cores=1 -mos=1 -ols=1",
    "retinanet,server,nsp.14": RETINANET + "-aic-enable-depth-first",
    "retinanet,multistream": RETINANET + "-aic-enable-depth-first",
}


@pytest.mark.parametrize("words", LINES)
def test_recipes(words: str) -> None:
    preset = resolve_preset(words)
    expected = from_argv(shlex.split(LINES[words])).resolve()
    found = table.resolve(preset.options)
    assert {name: found[name] for name in found.origins} == {
        name: expected[name] for name in expected.origins
    }
    assert to_argv(found) == to_argv(expected)
    assert preset.quantised == (preset.model != "bert-99.9")


def test_words_beside_the_recipe() -> None:
    preset = resolve_preset("_resnet50,_tf,_offline,_no-quantized,_filter-size.10")
    assert preset.from_tensorflow
    assert not preset.quantised
    assert preset.filter_size == 10
    assert resolve_preset("resnet50,offline,quantized").quantised
    assert resolve_preset("retinanet").takes_node_precision
    assert not resolve_preset("resnet50").takes_node_precision


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("offline", "names no model"),
        ("", "names no model"),
        ("resnet50,server", "there is no recipe.*resnet50,server,nsp.14; resnet50,server,nsp.16"),
        ("resnet50,server,nsp.8", "there is no recipe"),
        ("resnet50,offlin", "unknown word 'offlin'; did you mean 'offline'"),
        ("resnet50,bs.x", "unknown word 'bs.x'"),
        ("resnet50,bert-99", "bert-99 and resnet50 exclude each other"),
        ("resnet50,offline,server", "offline and server exclude each other"),
        ("resnet50,bs.1,bs.2", "'bs.2' is given a second value"),
        ("bert-99.9,quantized", "compiled in fp16"),
    ],
)
def test_bad_presets(words: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        resolve_preset(words)
