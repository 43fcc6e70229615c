"""BAL as published, from the rotation task to the last cycle, against random choice, on a small CIFAR-10.

    python benchmarks/bal_paper.py path/to/cifar10_small
    python benchmarks/bal_paper.py path/to/cifar10_small --seeds 1 --epochs 2 --pretext-epochs 1     a quick look

The folder holds images and a `labels.csv` with the columns file, split (train or test) and label. The protocol is the
paper's "base" one: 10 % of the pool is labeled first, then 5 % per cycle up to 40 %; the network of a cycle goes on
from the weights of the cycle before. Everything runs on one thread, so that other work on the machine disturbs it less.
Figures and the machine they come from: `bal_paper.md`.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "selectors"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "backend"))

import numpy as np
import torch
from numpy.typing import NDArray

from labelqueue.images.rotation_network import small_cnn, train_rotation
from labelqueue.pixels.decoding import decode
from poolselect import BAL, LeastConfidence, Pool, QueryStrategy, Random, search_balancing_factor

SIZE = 32  # pixels
MINIBATCH = 32
RATE = 0.05
VALIDATION = 500  # test images that Eq. 9 may look at; the others are reported
ARMS = ("bal", "random", "least confidence")


@dataclass(frozen=True)
class Data:
    """Images (n, SIZE, SIZE, 3) uint8 RGB and their classes (n,), of the pool, the validation and the test set."""

    pool: tuple[NDArray[np.uint8], NDArray[np.int64]]
    validation: tuple[NDArray[np.uint8], NDArray[np.int64]]
    test: tuple[NDArray[np.uint8], NDArray[np.int64]]
    classes: tuple[str, ...]


@dataclass
class Course:
    """What happened in one run of one arm."""

    accuracies: list[float] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    factor: float | None = None
    searched: dict[float, float] = field(default_factory=dict)
    extra_labels: int = 0


def read(folder: Path) -> Data:
    """Read the folder; the first `VALIDATION` of the shuffled test images are for Eq. 9."""
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    classes = tuple(sorted({row["label"] for row in rows}))
    parts = {}
    for split in ("train", "test"):
        mine = [row for row in rows if row["split"] == split]
        images = np.stack([decode((folder / row["file"]).read_bytes(), SIZE) for row in mine])
        parts[split] = images, np.array([classes.index(row["label"]) for row in mine])
    images, labels = parts["test"]
    shuffled = np.random.default_rng(0).permutation(len(images))
    aside, rest = shuffled[:VALIDATION], shuffled[VALIDATION:]
    return Data(parts["train"], (images[aside], labels[aside]), (images[rest], labels[rest]), classes)


# -- the task model


def tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    return (torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() - 127.5) / 64.0


def augmented(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Shift each image by up to 4 pixels and mirror every second one: training only."""
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    y, x = rng.integers(0, 9, (2, len(images)))
    mirrored = rng.random(len(images)) < 0.5
    cut = [padded[row, y[row] : y[row] + SIZE, x[row] : x[row] + SIZE] for row in range(len(images))]
    return np.stack([image[:, ::-1] if mirror else image for image, mirror in zip(cut, mirrored, strict=True)])


def fresh(n_classes: int, seed: int) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return small_cnn(SIZE, n_classes)


def copy_of(network: torch.nn.Sequential, n_classes: int) -> torch.nn.Sequential:
    twin = small_cnn(SIZE, n_classes)
    twin.load_state_dict(network.state_dict())
    return twin


def train(
    network: torch.nn.Sequential, images: NDArray[np.uint8], labels: NDArray[np.int64], epochs: int, seed: Any
) -> None:
    """Go on training a network: SGD, one cycle of the rate, the last weights are kept."""
    rng = np.random.default_rng(seed)
    steps = epochs * -(-len(images) // MINIBATCH)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps + 1)
    network.train()
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for start in range(0, len(order), MINIBATCH):
            rows = order[start : start + MINIBATCH]
            found = network(tensor(augmented(images[rows], rng)))
            loss = torch.nn.functional.cross_entropy(found, torch.from_numpy(labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def predict(network: torch.nn.Sequential, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the posterior (n, c), of the images as they are."""
    network.eval()
    with torch.inference_mode():
        parts = [network(tensor(images[start : start + 250])).softmax(1) for start in range(0, len(images), 250)]
    return torch.cat(parts).numpy()


def accuracy(network: torch.nn.Sequential, part: tuple[NDArray[np.uint8], NDArray[np.int64]]) -> float:
    return float((predict(network, part[0]).argmax(1) == part[1]).mean())


# -- one run


def pool_of(
    data: Data, features: NDArray[np.float32], labeled: NDArray[np.int64], network: torch.nn.Sequential | None
) -> Pool:
    labels = np.full(len(features), -1)
    labels[labeled] = data.pool[1][labeled]
    probabilities = None if network is None else np.clip(predict(network, data.pool[0]), 0, 1)
    return Pool(np.arange(len(features)), features, labels=labels, probabilities=probabilities)


def run(
    arm: str, data: Data, features: NDArray[np.float32], sizes: list[int], seed: int, arguments: argparse.Namespace
) -> Course:
    """Label up to each of `sizes`, the images an arm chooses, training after each cycle."""
    course = Course()
    cycles, n_classes, epochs = len(sizes), len(data.classes), arguments.epochs
    network = fresh(n_classes, seed)
    labeled = np.empty(0, np.int64)

    def strategy(cycle: int, factor: float) -> QueryStrategy:
        if arm == "random" or (cycle == 0 and arm != "bal"):
            return Random(random_state=1000 * seed + cycle)
        if arm == "least confidence":
            return LeastConfidence(random_state=seed)
        return BAL(
            mode="paper", cycle=cycle, cycles=cycles, cycle_size=wanted(cycle), balancing_factor=factor,
            n_clusters=n_classes, random_state=seed,
        )  # fmt: skip

    def wanted(cycle: int) -> int:
        return sizes[cycle] - (sizes[cycle - 1] if cycle else 0)

    def chosen(cycle: int, factor: float) -> NDArray[np.int64]:
        pool = pool_of(data, features, labeled, network if cycle else None)
        return strategy(cycle, factor).query(pool, batch_size=wanted(cycle)).indices

    def trained(start: torch.nn.Sequential, rows: NDArray[np.int64], cycle: int) -> torch.nn.Sequential:
        train(start, data.pool[0][rows], data.pool[1][rows], epochs, [seed, cycle])
        return start

    def search() -> float:
        """Eq. 9: the factor of the best accuracy after cycle 1, of the images it chooses then."""
        tried = {candidate: chosen(1, candidate) for candidate in arguments.factors}
        for candidate, rows in tried.items():
            found = trained(copy_of(network, n_classes), np.concatenate([labeled, rows]), 1)
            course.searched[candidate] = accuracy(found, data.validation)
        course.extra_labels = len(np.unique(np.concatenate(list(tried.values())))) - wanted(1)
        return search_balancing_factor(arguments.factors, course.searched.__getitem__)

    factor = 1.0
    for cycle in range(cycles):
        if arm == "bal" and cycle == 1:
            factor = course.factor = search()
        labeled = np.concatenate([labeled, chosen(cycle, factor)])
        network = trained(network, labeled, cycle)
        course.labels.append(len(labeled))
        course.accuracies.append(accuracy(network, data.test))
        print(f"  seed {seed}  {arm:<17} {len(labeled):>6,} labels  {course.accuracies[-1]:.3f}", flush=True)
    return course


# -- the report


def interval(differences: NDArray[np.float64]) -> str:
    """Return mean and 95 % t interval of paired differences, in points."""
    from scipy.stats import t

    mean = 100 * differences.mean()
    if len(differences) < 2:
        return f"{mean:+.1f}"
    half = 100 * t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{mean:+.1f} ± {half:.1f}"


def table(courses: dict[str, list[Course]], sizes: list[int], pool: int) -> str:
    found = {arm: np.array([course.accuracies for course in runs]) for arm, runs in courses.items()}
    lines = [
        "| labeled | " + " | ".join(found) + " | " + " | ".join(f"{arm} - random" for arm in found if arm != "random")
        + " |", "|---" * (2 * len(found)) + "|",
    ]  # fmt: skip
    for place, size in enumerate(sizes):
        cells = [f"{100 * values[:, place].mean():.1f}" for values in found.values()]
        cells += [
            interval(values[:, place] - found["random"][:, place]) for arm, values in found.items() if arm != "random"
        ]
        lines.append(f"| {size:,} ({size / pool:.0%}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with labels.csv")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm (default: 3)")
    parser.add_argument("--epochs", type=int, default=10, help="of the task model per cycle (default: 10; paper: 100)")
    parser.add_argument("--pretext-epochs", type=int, default=10, help="of the rotation network (default: 10)")
    parser.add_argument("--factors", type=float, nargs="+", default=[0.5, 1.0, 1.2, 1.5], help="candidates of Eq. 9")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = read(arguments.data)
    n = len(data.pool[0])
    sizes = [round(n * share / 100) for share in range(10, 41, 5)]
    print(f"pool {n:,}, validation {len(data.validation[0]):,}, test {len(data.test[0]):,} images", flush=True)

    begun = time.process_time()
    rotation = train_rotation(data.pool[0], epochs=arguments.pretext_epochs, seed=0)
    features = rotation.features(data.pool[0])
    spent = {"pretext": time.process_time() - begun}
    print(f"rotation accuracy on held-out images {rotation.accuracy:.3f}, {spent['pretext']:.0f} CPU s", flush=True)

    courses: dict[str, list[Course]] = {arm: [] for arm in ARMS}
    for seed in range(arguments.seeds):
        for arm in ARMS:
            begun = time.process_time()
            courses[arm].append(run(arm, data, features, sizes, seed, arguments))
            spent[arm] = spent.get(arm, 0.0) + time.process_time() - begun
    print("\n" + table(courses, sizes, n) + "\n")
    for course in courses["bal"]:
        found = ", ".join(f"{factor}: {score:.3f}" for factor, score in sorted(course.searched.items()))
        print(
            f"beta {course.factor} from validation accuracies {found}; {course.extra_labels} labels beyond those kept"
        )
    print("CPU s: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in spent.items()))
    if arguments.json:
        everything: dict[str, Any] = {
            "machine": platform.processor(), "torch": torch.__version__, "cpu_s": spent, "sizes": sizes,
            "rotation_accuracy": rotation.accuracy,
            "courses": {arm: [vars(course) for course in runs] for arm, runs in courses.items()},
        }  # fmt: skip
        arguments.json.write_text(json.dumps(everything, indent=2) + "\n")


if __name__ == "__main__":
    main()
