#!/usr/bin/env python3
"""What PEFT makes of the adapters a run of ours began with: losses and gradient norms of its steps, to compare with ours.

    tokenwerk train --out start --lora.rank 4 ... --training.steps 1 --optimizer.lr 0 && tokenwerk export start --adapter --out start/peft
    peft_peer.py BASE start/peft TOKENS.u16 --steps 20 --batch 5 --seq 24 --stride 25 --lr 3e-3
    peft_peer.py ... --metrics run/metrics.jsonl     # beside a run of ours
    peft_peer.py ... --merged run-exported --adapter run/peft   # logits of an export beside PEFT's with the adapters of the same run

BASE is a Hugging Face folder. Rows are read in order (data.shuffle = false), the rate is constant, AdamW is torch's. Needs torch,
transformers, peft and numpy.
"""
import argparse
import json

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

p = argparse.ArgumentParser()
p.add_argument("base"), p.add_argument("start"), p.add_argument("tokens")
for name, kind, value in (("steps", int, 20), ("batch", int, 4), ("seq", int, 128), ("stride", int, 0), ("lr", float, 1e-3), ("beta2", float, 0.95),
                          ("decay", float, 0.1), ("clip", float, 1.0), ("threads", int, 1)):
    p.add_argument("--" + name, type=kind, default=value)
p.add_argument("--metrics"), p.add_argument("--merged"), p.add_argument("--adapter")
a = p.parse_args()
torch.set_num_threads(a.threads)
stride = a.stride or a.seq


def base():
    return AutoModelForCausalLM.from_pretrained(a.base, dtype=torch.float32)


ids = np.fromfile(a.tokens, dtype="<u2").astype(np.int64)
model = PeftModel.from_pretrained(base(), a.start, is_trainable=True)
trained = [w for w in model.parameters() if w.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=a.lr, betas=(0.9, a.beta2), eps=1e-8, weight_decay=a.decay)
losses, norms = [], []
for step in range(a.steps):
    rows = torch.tensor(np.stack([ids[s * stride:s * stride + a.seq + 1] for s in range(step * a.batch, (step + 1) * a.batch)]))
    logits = model(input_ids=rows[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), rows[:, 1:].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    norms.append(torch.nn.utils.clip_grad_norm_(trained, a.clip).item())
    losses.append(loss.item())
    optimizer.step()
out = {"trained": sum(w.numel() for w in trained), "loss": losses, "grad_norm": norms}
if a.metrics:
    ours = [m for m in map(json.loads, open(a.metrics)) if "lr" in m][:a.steps]
    out["largest_difference"] = {k: max(abs(m[k] - w) / w for m, w in zip(ours, out[k])) for k in ("loss", "grad_norm")}
if a.merged:
    rows = torch.tensor(ids[None, :a.seq])
    with torch.no_grad():
        theirs = PeftModel.from_pretrained(base(), a.adapter)(input_ids=rows).logits
        ours = AutoModelForCausalLM.from_pretrained(a.merged, dtype=torch.float32)(input_ids=rows).logits
    out["logits"] = {"largest": theirs.abs().max().item(), "largest_difference": (theirs - ours).abs().max().item()}
print(json.dumps(out))
