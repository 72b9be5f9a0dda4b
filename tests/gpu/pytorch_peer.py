#!/usr/bin/env python3
"""What a user of PyTorch would run in place of one of our configurations: one JSON line with tokens/s and joules a token.

  pytorch_peer.py --kind gpt2 --layers 12 --width 768 --heads 12 --vocab 50304 --seq 1024 --batch 16 [--accumulate 4]
  pytorch_peer.py --kind llama --layers 16 --width 2048 --heads 32 --kv-heads 8 --ffn 8192 --vocab 32000 --seq 2048 --batch 4

torch.compile, bf16 autocast over fp32 weights, scaled_dot_product_attention, fused AdamW, tied embeddings, gradient norm clipped at 1. The
step's time is the median of --steps behind two that compile; joules are those of the card's own counter over these steps.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

parser = argparse.ArgumentParser()
for name, default in dict(layers=12, width=768, heads=12, kv_heads=0, ffn=0, vocab=50304, seq=1024, batch=8, accumulate=1, steps=10).items():
    parser.add_argument("--" + name.replace("_", "-"), type=int, default=default)
parser.add_argument("--kind", choices=["gpt2", "llama"], default="gpt2")
parser.add_argument("--device", default="cuda")
parser.add_argument("--no-compile", action="store_true")
args = parser.parse_args()
llama = args.kind == "llama"
kv_heads = args.kv_heads or args.heads
ffn = args.ffn or 4 * args.width
head = args.width // args.heads


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        norm = nn.RMSNorm if llama else nn.LayerNorm
        self.attention_norm, self.mlp_norm = norm(args.width), norm(args.width)
        self.qkv = nn.Linear(args.width, (args.heads + 2 * kv_heads) * head, bias=not llama)
        self.out = nn.Linear(args.width, args.width, bias=not llama)
        self.up = nn.Linear(args.width, ffn * (2 if llama else 1), bias=not llama)
        self.down = nn.Linear(ffn, args.width, bias=not llama)

    def forward(self, x, cos, sin):
        B, T, _ = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).split([args.heads * head, kv_heads * head, kv_heads * head], 2)
        q, k, v = (t.view(B, T, -1, head).transpose(1, 2) for t in (q, k, v))
        if llama:
            def turn(t):
                return t * cos + torch.cat((-t[..., head // 2:], t[..., :head // 2]), -1) * sin
            q, k = turn(q), turn(k)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=kv_heads != args.heads)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, args.width))
        h = self.up(self.mlp_norm(x))
        if llama:
            gate, up = h.chunk(2, -1)
            h = F.silu(gate) * up
        else:
            h = F.gelu(h, approximate="tanh")
        return x + self.down(h)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(args.vocab, args.width)
        self.positions = None if llama else nn.Embedding(args.seq, args.width)
        self.blocks = nn.ModuleList(Block() for _ in range(args.layers))
        self.norm = (nn.RMSNorm if llama else nn.LayerNorm)(args.width)
        self.head = nn.Linear(args.width, args.vocab, bias=False)
        self.head.weight = self.tokens.weight
        angle = torch.outer(torch.arange(args.seq), 1e4 ** (-torch.arange(0, head, 2) / head))
        angle = torch.cat((angle, angle), -1)
        self.register_buffer("cos", angle.cos(), False)
        self.register_buffer("sin", angle.sin(), False)

    def forward(self, ids, targets):
        x = self.tokens(ids)
        if not llama:
            x = x + self.positions(torch.arange(args.seq, device=ids.device))
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return F.cross_entropy(self.head(self.norm(x)).view(-1, args.vocab).float(), targets.view(-1))


def joule_counter():
    try:
        import pynvml
        pynvml.nvmlInit()
        device = pynvml.nvmlDeviceGetHandleByIndex(0)
        return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(device) / 1000
    except Exception:
        return lambda: float("nan")


torch.manual_seed(0)
torch.set_float32_matmul_precision("high")
model = Model().to(args.device)
parameters = sum(p.numel() for p in model.parameters())
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
loss_of = model if args.no_compile else torch.compile(model)
ids, targets = (torch.randint(0, args.vocab, (args.batch, args.seq), device=args.device) for _ in range(2))
synchronize = torch.cuda.synchronize if args.device == "cuda" else (lambda: None)
joules = joule_counter()
times = []
started = 0.0
for step in range(args.steps + 2):
    synchronize()
    if step == 2:
        started = joules()
    begin = time.perf_counter()
    for _ in range(args.accumulate):
        with torch.autocast(args.device, torch.bfloat16):
            loss = loss_of(ids, targets) / args.accumulate
        loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    synchronize()
    times.append(time.perf_counter() - begin)
used = joules() - started
tokens = args.batch * args.seq * args.accumulate
median = statistics.median(times[2:])
flops = 6 * parameters + 12 * args.layers * args.width * args.seq
print(json.dumps(dict(program="pytorch " + torch.__version__, parameters=parameters, step_seconds=median, first_step_seconds=times[0],
                      tokens_per_second=tokens / median, tflops=flops * tokens / median / 1e12,
                      joules_per_token=used / tokens / args.steps,
                      memory_gib=torch.cuda.max_memory_allocated() / 2**30 if args.device == "cuda" else None)))
