"""The peer of steps.rs: the same training step, written plainly in PyTorch.

    python steps.py BATCH SECONDS   prints one line of JSON

Image head: normalise(base + linear(gelu(linear(LayerNorm(features))))), text head:
normalise(base + linear(base)), loss: the bidirectional soft triplet over the hardest
negatives, masked by group; global clipping; AdamW. All sizes as in steps.rs.
"""
import json
import sys
import time

import torch
from torch import nn

FEATURES, HIDDEN, DIM, HARDEST, TAU, MARGIN, THREADS = 1280, 1024, 384, 32, 0.05, 0.1, 2


class ImageHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(FEATURES)
        self.hidden = nn.Linear(FEATURES, HIDDEN)
        self.out = nn.Linear(HIDDEN, DIM)

    def forward(self, base, features):
        hidden = nn.functional.gelu(self.hidden(self.norm(features)))
        return nn.functional.normalize(base + self.out(hidden), dim=1)


class TextHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(DIM, DIM)

    def forward(self, base):
        return nn.functional.normalize(base + self.out(base), dim=1)


def soft_triplet(similarity, same):
    positive = similarity.diagonal().unsqueeze(1)
    hinge = similarity - positive + MARGIN
    hardest = hinge.masked_fill(same, -1e4).topk(HARDEST, dim=1).values
    return TAU * nn.functional.softplus(hardest / TAU).mean()


def main():
    batch, seconds = int(sys.argv[1]), float(sys.argv[2])
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    features = torch.randn(8 * batch, FEATURES)
    base = nn.functional.normalize(torch.randn(8 * batch, DIM), dim=1)
    texts = nn.functional.normalize(torch.randn(8 * batch, DIM), dim=1)
    groups = torch.randint(0, 2 * batch, (8 * batch,))
    image, text = ImageHead(), TextHead()
    parameters = [*image.parameters(), *text.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01, fused=True)

    def step(number):
        rows = slice((number % 8) * batch, (number % 8 + 1) * batch)
        similarity = image(base[rows], features[rows]) @ text(texts[rows]).T
        same = groups[rows, None] == groups[None, rows]
        loss = soft_triplet(similarity, same) + soft_triplet(similarity.T, same)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 2.0)
        optimiser.step()

    for number in range(10):
        step(number)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step(done)
        done += 1
    rate = done / (time.perf_counter() - start)
    print(json.dumps({"steps_per_second": rate, "torch": torch.__version__}))


main()
