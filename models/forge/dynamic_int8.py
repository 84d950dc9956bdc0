"""What would a text tower of `lite` find whose matrices are multiplied in 8 bits?

Makes a copy of a model's folder whose text tower is quantised dynamically, one scale a
channel, and says how far its texts come to lie from where they were and how long one takes.
Nothing of it ships; models/lite/CARD.md says why. Then:

    ek eval PAIRS.jsonl --split test --model OUT

    pip install onnxruntime==1.24.4 onnx==1.23.2 tokenizers numpy
    python models/forge/dynamic_int8.py models/lite OUT PAIRS.jsonl
"""

import hashlib
import json
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def quantise(source, target):
    with tempfile.TemporaryDirectory() as folder:
        # Weights are packed in the file; folded, they are plain matrices.
        whole = str(Path(folder) / "whole.onnx")
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = whole
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        small = str(Path(folder) / "small.onnx")
        quantize_dynamic(
            whole,
            small,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
            extra_options={"MatMulConstBOnly": True},
        )
        model = onnx.load(small)
    # Which training it is of, or it is refused.
    del model.metadata_props[:]
    model.metadata_props.extend(onnx.load(str(source)).metadata_props)
    onnx.save(model, str(target))


def embed(tower, tokenizer, texts):
    rows = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        rows.append(tower.run(["aligned"], inputs)[0][0])
    rows = np.stack(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main(model, out, pairs):
    shutil.copytree(model, out)
    quantise(model / "text.onnx", out / "text.onnx")
    graph = (out / "text.onnx").read_bytes()
    manifest = (out / "model.toml").read_text()
    entry = f'\\g<1>{len(graph)}\nsha256 = "{hashlib.sha256(graph).hexdigest()}"'
    manifest = re.sub(r'(\[files\."text\.onnx"\]\nbytes = )\d+\nsha256 = "[0-9a-f]+"', entry, manifest)
    (out / "model.toml").write_text(manifest)

    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    texts = sorted({row["caption"] for row in rows if row["split"] == "val"})
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    towers = [session(folder / "text.onnx") for folder in (model, out)]
    plain, small = (embed(tower, tokenizer, texts) for tower in towers)
    cosines = (plain * small).sum(axis=1)
    print(f"{len(texts)} captions: cosine {cosines.mean():.4f} on average, {cosines.min():.4f} at least")
    for name, tower in zip(("as shipped", "8 bits"), towers):
        best = float("inf")
        for _ in range(5):
            start = time.process_time()
            embed(tower, tokenizer, texts[:100])
            best = min(best, time.process_time() - start)
        print(f"{name}: {best / 100 * 1e3:.1f} ms of one core a text")
    for folder in (model, out):
        print(f"{folder}: {(folder / 'text.onnx').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
