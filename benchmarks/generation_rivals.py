"""What others generate text with, and how a side of `generation_speed.py` answers.

It is run by that script, in an environment that has torch and transformers, or llama-cpp-python,
but not Textmill: python benchmarks/generation_rivals.py SIDE FOLDER JOB.json
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

Call = Callable[[list[str], int], list[str]]  # from prompts and a number of new tokens to texts


def answer(load: Callable[[], Call], prompts: list[str]) -> None:
    """Reads "FIRST ROWS NEW" from standard input, a line a turn, and prints the seconds of a call.

    First it prints how long loading took, and what comes of the first prompt.
    """
    began = time.perf_counter()
    call = load()
    loaded = time.perf_counter() - began
    print(json.dumps({"loaded": loaded, "text": call(prompts[:1], 24)[0]}), flush=True)
    for line in sys.stdin:
        first, rows, new = map(int, line.split())
        began = time.perf_counter()
        call(prompts[first : first + rows], new)
        print(json.dumps(time.perf_counter() - began), flush=True)


def transformers_side(folder: Path, kind: str) -> Call:
    """Returns Hugging Face's `generate` on torch, "float32:lookup" with its guesses for one row."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    kind, _, lookup = kind.partition(":")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, kind)).eval()

    def call(prompts: list[str], new: int) -> list[str]:
        given = tokenizer(prompts, return_tensors="pt", padding=True)
        guesses = 3 if lookup and len(prompts) == 1 else None
        with torch.inference_mode():
            found = model.generate(
                **given,
                do_sample=False,
                max_new_tokens=new,
                min_new_tokens=new,
                prompt_lookup_num_tokens=guesses,
            )
        behind = found[:, given["input_ids"].shape[1] :]
        texts: list[str] = tokenizer.batch_decode(behind, skip_special_tokens=True)
        return texts

    return call


def llama_cpp_side(file: Path) -> Call:
    """Returns llama.cpp, which has no batches in its Python interface: rows come one by one."""
    from llama_cpp import Llama

    model = Llama(str(file), n_ctx=1024, n_threads=2, verbose=False)

    def call(prompts: list[str], new: int) -> list[str]:
        texts = []
        for each in prompts:
            ids = model.tokenize(each.encode(), add_bos=False, special=True)
            model.reset()
            found: list[int] = []
            for token in model.generate(ids, temp=0.0, repeat_penalty=1.0):
                found.append(token)
                if len(found) == new:
                    break
            texts.append(model.detokenize(found).decode(errors="replace"))
        return texts

    return call


def main() -> None:
    """Answers as one side."""
    side, folder, job = sys.argv[1], Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
    name, _, kind = side.partition(":")
    sides: dict[str, Callable[[], Call]] = {
        "transformers": lambda: transformers_side(folder, kind),
        "llama.cpp": lambda: llama_cpp_side(folder / f"{kind}.gguf"),
    }
    answer(sides[name], job["prompts"])


if __name__ == "__main__":
    main()
