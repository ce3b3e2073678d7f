"""MNISTNet in PyTorch, measured as `mnistq bench model --check` measures its own.

Reads a line of JSON and the pictures from standard input, writes one JSON object. What a way can't do is left out.
"""

import json
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

asked = json.loads(sys.stdin.buffer.readline())
device = torch.device(asked["device"])
on_gpu = device.type == "cuda"


def read(count, size):
    return torch.frombuffer(bytearray(sys.stdin.buffer.read(count * size)), dtype=torch.uint8)


train, test = asked["train"], asked["test"]
train_pictures = read(train, 784).reshape(train, 1, 28, 28)
train_labels = read(train, 1)
test_pictures = read(test, 784).reshape(test, 1, 28, 28)
test_labels = read(test, 1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, pictures):
        x = (pictures.float() / 255 - 0.1307) / 0.3081
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = self.dropout1(F.max_pool2d(x, 2).flatten(1))
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


WAYS = {
    "eager": lambda net: net,
    "compiled": torch.compile,
    "graphs": lambda net: torch.compile(net, mode="reduce-overhead"),
}


def wait():
    if on_gpu:
        torch.cuda.synchronize(device)


def inference(way):
    rates = {}
    for batch in asked["batches"]:
        torch.compiler.reset()
        net = WAYS[way](Net().to(device).eval())
        pixels = test_pictures.repeat(-(-batch // test), 1, 1, 1)[:batch].contiguous()
        with torch.inference_mode():
            for _ in range(5):
                net(pixels.to(device)).cpu()
            wait()
            count, began = 0, time.perf_counter()
            while count == 0 or time.perf_counter() - began < asked["seconds"]:
                net(pixels.to(device)).cpu()
                count += 1
        rates[str(batch)] = count * batch / (time.perf_counter() - began)
    return rates


def training(way):
    figures = {}
    pictures, labels = train_pictures.to(device), train_labels.to(device).long()
    for batch in asked["learned_at_once"]:
        torch.compiler.reset()
        torch.manual_seed(1)
        plain = Net().to(device)
        net = WAYS[way](plain)
        optimizer = torch.optim.Adadelta(plain.parameters(), lr=1.0)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
        fastest = float("inf")
        for _ in range(asked["epochs"]):
            wait()
            began = time.perf_counter()
            plain.train()
            order = torch.randperm(train, device=device)
            for start in range(0, train, batch):
                if way == "graphs":
                    torch.compiler.cudagraph_mark_step_begin()
                of = order[start : start + batch]
                optimizer.zero_grad()
                F.nll_loss(net(pictures[of]), labels[of]).backward()
                optimizer.step()
            wait()
            fastest = min(fastest, time.perf_counter() - began)
            schedule.step()
        plain.eval()
        with torch.inference_mode():
            parts = test_pictures.split(1000)
            answers = torch.cat([plain(part.to(device)).argmax(1).cpu() for part in parts])
        accuracy = (answers == test_labels).float().mean().item()
        figures[str(batch)] = {"seconds": fastest, "accuracy": accuracy}
    return figures


name = torch.cuda.get_device_name(device) if on_gpu else "CPU"
found = {"name": f"PyTorch {torch.__version__} on {name}"}
for way in WAYS if on_gpu else ["eager"]:
    found[way] = {}
    for figure, measure in [("inference", inference), ("training", training)]:
        try:
            found[way][figure] = measure(way)
        except Exception as error:
            print(f"PyTorch, {way}, {figure}: {error}", file=sys.stderr)
print(json.dumps(found))
