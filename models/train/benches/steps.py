"""The peer of steps.rs: the same training step, written plainly in PyTorch.

    python steps.py FOLDER

FOLDER holds the numbers that steps.rs wrote: inputs and first weights. Each line on
standard input is an order, answered by a line of JSON; every order starts from the
first weights again.

    losses STEPS            the loss of each of the first steps
    run WARM_UP SECONDS     steps and seconds, counted after the warm-up's steps

Image head: normalise(base + linear(gelu(linear(standardise(features))))), text head:
normalise(base + linear(base)), loss: the bidirectional soft triplet over the hardest
negatives, masked by group; global clipping; AdamW, whose decay leaves out offsets.
"""
import json
import pathlib
import sys
import time

import torch
from torch import nn

BATCH, BATCHES, FEATURES, HIDDEN, DIM = 512, 8, 1280, 1024, 384
HARDEST, TAU, MARGIN, CLIP, RATE, DECAY, THREADS = 32, 0.05, 0.1, 2.0, 1e-3, 0.01, 2


class ImageHead(nn.Module):
    def __init__(self):
        super().__init__()
        # Without scale and shift, as in the trainer: the linear layer contains them.
        self.norm = nn.LayerNorm(FEATURES, elementwise_affine=False)
        self.hidden0 = nn.Linear(FEATURES, HIDDEN)
        self.out = nn.Linear(HIDDEN, DIM)

    def forward(self, base, features):
        hidden = nn.functional.gelu(self.hidden0(self.norm(features)))
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
    hardest = hinge.masked_fill(same, -1e4).topk(HARDEST, dim=1, sorted=False).values
    return TAU * nn.functional.softplus(hardest / TAU).mean()


class Run:
    """A model with its optimiser, at the first weights."""

    def __init__(self, folder):
        def numbers(name, *shape, dtype=torch.float32):
            size = torch.Size(shape).numel()
            return torch.from_file(str(folder / name), size=size, dtype=dtype).view(shape).clone()

        rows = BATCHES * BATCH
        self.features = numbers("features", rows, FEATURES)
        self.base = numbers("base", rows, DIM)
        self.texts = numbers("texts", rows, DIM)
        self.groups = numbers("groups", rows, dtype=torch.int32)
        self.heads = nn.ModuleDict({"image": ImageHead(), "text": TextHead()})
        self.image, self.text = self.heads["image"], self.heads["text"]
        with torch.no_grad():
            for name, parameter in self.heads.named_parameters():
                # The trainer keeps inputs x outputs, PyTorch outputs x inputs.
                parameter.copy_(numbers(name, *reversed(parameter.shape)).T)
        self.parameters = list(self.heads.parameters())
        groups = [
            {"params": [p for p in self.parameters if p.dim() > 1], "weight_decay": DECAY},
            {"params": [p for p in self.parameters if p.dim() == 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=RATE, fused=True)

    def step(self, number):
        rows = slice((number % BATCHES) * BATCH, (number % BATCHES + 1) * BATCH)
        images = self.image(self.base[rows], self.features[rows])
        similarity = images @ self.text(self.texts[rows]).T
        same = self.groups[rows, None] == self.groups[None, rows]
        loss = soft_triplet(similarity, same) + soft_triplet(similarity.T, same)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimiser.step()
        return loss.detach()


def main():
    torch.set_num_threads(THREADS)
    folder = pathlib.Path(sys.argv[1])
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        order, *values = line.split()
        run = Run(folder)
        if order == "losses":
            answer = {"losses": [run.step(number).item() for number in range(int(values[0]))]}
        else:
            warm_up, seconds = int(values[0]), float(values[1])
            for number in range(warm_up):
                run.step(number)
            steps, start = 0, time.perf_counter()
            while (passed := time.perf_counter() - start) < seconds:
                # The trainer's loop reads every loss, too.
                run.step(warm_up + steps).item()
                steps += 1
            answer = {"steps": steps, "seconds": passed}
        print(json.dumps(answer), flush=True)


main()
