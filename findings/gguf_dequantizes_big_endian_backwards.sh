#!/usr/bin/env bash
# gguf==0.19.0, dequantize: of a big-endian file the numbers are those of the bytes in the wrong order, without a word.
#
# GGUFReader reads such a file, which the format allows and GGUFWriter writes, and its tensor.data has the right numbers. The
# function that makes numbers of any stored type looks at these bytes as little-endian ones again, F32 and F16 included:
# 1.0 is 4.6e-41. Expected: 1.0, or an error, as the types in blocks would need a swap of their own.
#
# Why it matters: it is how a converter reads weights, whatever their type. All checks of shapes and names pass, and the
# model that is exported for a server writes noise.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gguf==0.19.0 numpy==2.4.6

"$folder/venv/bin/python" - <<'PROGRAM'
import os
import tempfile

import gguf
import numpy as np


def read(order):
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "model.gguf")
        writer = gguf.GGUFWriter(file, "llama", endianess=order)
        writer.add_tensor("token_embd.weight", np.array([[1.0, -2.5]], np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        tensor = gguf.GGUFReader(file).tensors[0]
        return tensor.data.tolist(), gguf.dequantize(tensor.data, tensor.tensor_type).tolist()


little, big = read(gguf.GGUFEndian.LITTLE), read(gguf.GGUFEndian.BIG)
print("little-endian: data", little[0], " dequantized", little[1])
print("big-endian:    data", big[0], " dequantized", big[1])
assert little == ([[1.0, -2.5]], [[1.0, -2.5]])
assert big[0] == [[1.0, -2.5]]
assert 0 < big[1][0][0] < 1e-40, "the behaviour changed"
PROGRAM
