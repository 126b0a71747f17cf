#!/usr/bin/env bash
# tokenizers==0.23.3, decode: an added token that is normalized comes back in another case than it was added.
#
# AddedToken("<ENT>", normalized=True) of a tokenizer that lower-cases: the token is found in "<ENT>" and "<ent>"
# alike, as it should be; but decode, id_to_token and the vocabulary all say "<ent>", a string that nobody added. Not
# normalized, it stays "<ENT>". Expected: the content of a token is what was added; normalization is for finding it.
#
# Why it matters: placeholders such as <ENT>, <USER> or <NUM> are put into texts before the training and looked for in
# what a served model writes. After such a tokenizer there are none, and nothing says so.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3 huggingface_hub==2.4.0

"$folder/venv/bin/python" - <<'PROGRAM'
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel


def decoded(normalized):
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "hello": 1}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_tokens([AddedToken("<ENT>", normalized=normalized)])
    ids = tokenizer.encode("hello <ENT>").ids
    return ids, tokenizer.decode(ids), tokenizer.id_to_token(2)


print("not normalized:", decoded(False))
print("normalized:    ", decoded(True))
assert decoded(False) == ([1, 2], "hello <ENT>", "<ENT>")
assert decoded(True) == ([1, 2], "hello <ent>", "<ent>"), "the behaviour changed"
PROGRAM
