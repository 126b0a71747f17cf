"""Integrated gradients of a model of transformers on torch: python torch_gradients.py FOLDER.

`FOLDER/given.json` holds `checkpoint`, `kind` and `rows` (token ids, with segments); what comes of
them goes to `found.json`. Another rule for the integral than ours, with many more points.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

STEPS = 400


def main(folder: Path) -> None:
    given = json.loads((folder / "given.json").read_text())
    model = AutoModelForSequenceClassification.from_pretrained(given["checkpoint"]).eval()

    def score(embeddings: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
        count = len(embeddings)
        logits = model(inputs_embeds=embeddings, token_type_ids=segments.expand(count, -1)).logits
        if given["kind"] == "number":
            return logits
        return logits.softmax(-1) if given["kind"] == "one" else logits.sigmoid()

    found = []
    for ids, segments in given["rows"]:
        kinds = torch.tensor([segments])
        special = torch.tensor([[i in given["special"]] for i in ids])
        whole = model.get_input_embeddings()(torch.tensor(ids)).detach()
        nothing = torch.where(special, whole, torch.zeros_like(whole))
        ways = ((torch.arange(STEPS) + 0.5) / STEPS)[:, None, None]
        path = (nothing + ways * (whole - nothing)).requires_grad_()
        with torch.no_grad():
            reached, began = score(whole[None], kinds)[0], score(nothing[None], kinds)[0]
        label = int(reached.argmax())
        score(path, kinds)[:, label].sum().backward()
        assert path.grad is not None
        contributions = (path.grad.mean(0) * (whole - nothing)).sum(-1)
        found.append([contributions.tolist(), float(reached[label]), float(began[label])])
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
