"""How byte-level tokenizers part a text into words."""

from __future__ import annotations

# The expressions of Llama 3 and Qwen 2 -> most digits in a word.
LLAMA3 = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    + numbers
    + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": most
    for numbers, most in ((r"\p{N}{1,3}", 3), (r"\p{N}", 1))
}
