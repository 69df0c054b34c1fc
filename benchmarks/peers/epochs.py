"""Training epochs of every program that is installed, in one thread and in two."""

from functools import partial
from statistics import median

import joblib
import numpy as np
from matplotlib.figure import Figure
from threadpoolctl import ThreadpoolController

from benchmarks.peers import memory
from benchmarks.peers.programs import PEERS, installed
from benchmarks.peers.report import Section, kept
from benchmarks.peers.tasks import DROPOUT, MOMENTUM, TASKS
from benchmarks.peers.timing import Comparison, interleave, once, spread
from sksparse_mlp.topology import RandomGrowth

# Times that an epoch of PyTorch with full layers should take, one thread each.
WANTED = {"madelon": 12, "isolet": 6, "mnist": 11, "wide": 19}
MOST_EVOLUTION = 0.05
# Samples and epochs that show whether a program learns.
N_SAMPLES, N_EPOCHS = 512, 6
ZETA = 0.3
TEXT = f"""Seconds per epoch, of several at a time, of the same networks on the same
standardised samples in float32: relu, dropout {DROPOUT} in every hidden layer,
cross-entropy, SGD with momentum {MOMENTUM} (not Nesterov's), no penalty, shuffled. Sparse
programs have random layers with the same numbers of connections. This package and
`MLPClassifier` give two classes one shared output, the others two.

- *this package*: `fit`, all of it, with `zeta=0`; evolutions are timed apart.
- *PyTorch dense*: `nn.Linear`. All PyTorch programs use the fused optimizer step, the
  fastest of its three, and flush subnormal numbers.
- *PyTorch masks*: the same, with the weights multiplied by a mask after every step.
- *PyTorch CSR*: products with `torch.sparse_csr_tensor`, `sampled_addmm` for the gradient
  at the connections, transposed patterns made once, activations as (neurons, batch).
- *SparseProp* (Nikdan et al. 2023): its `SparseLinear`, C++ with AVX2, in PyTorch. One
  thread only: its backward pass makes all threads wait for each other at every output
  neuron.
- *SciPy SET*: a program written for this comparison after the description of SET (Mocanu
  et al. 2018): CSR products, gradients taken from the full product at the connections.
- *MLPClassifier* of scikit-learn: full layers, no dropout, which it lacks.

The peers are optional: `pip install torch==2.13.0` (the CPU build is enough), then `pip
install pybind11 wheel` and `pip install --no-build-isolation sparseprop`, which needs a
C++ compiler and an active virtual environment. None is a dependency of the package."""
TABLES = """*Faster* says how many times an epoch of this package fits into one of the
other program, with the same number of threads. *Memory* is the growth of the most that a
fresh process ever held, from after the imports and an epoch of a tiny
network to after {n_batches} batches in one thread; it includes their samples."""
EVOLUTION = f"""An evolution is SET's at zeta {ZETA} in every layer that is not full. That
of this package includes the new transposed patterns; its share is that of an epoch in one
thread together with its evolution."""
LEARNING = f"""Before anything is timed each program trains {N_EPOCHS} epochs on
{N_SAMPLES} samples; the run stops with an error where the loss does not fall. First and
last mean loss:"""
MARKERS = "osv^D*P"


class NotLearningError(Exception):
    """A program's loss does not fall."""


def measure(options) -> Section:
    section = Section("Training epochs", [TEXT, *_missing()])
    results, losses, used = {}, {}, {}
    for name, task in TASKS.items():
        part = kept(f"epochs-{name}", partial(_measure_task, task, options))
        results[name], losses[name] = Comparison(part["seconds"]), part["losses"]
        used[name] = part["bytes"]
    section.add_text(TABLES.format(n_batches=memory.N_BATCHES))
    for name, result in results.items():
        _add_task(section, TASKS[name], result, used[name], full=options.full)
    section.add_figure("epochs", _plot(results), "Epochs of all programs over ours")
    section.add_text(EVOLUTION)
    section.add_table([_evolution_row(name, result) for name, result in results.items()])
    section.add_text(LEARNING)
    section.add_table(_learning_rows(losses))
    _add_targets(section, results)
    section.measured |= {f"{name}, losses": values for name, values in losses.items()}
    return section


def _measure_task(task, options):
    X, y = task.samples(full=options.full)
    contestants, losses = contestants_of(task, X, y)
    contestants["evolution"] = evolution_of(task.layers())
    result = interleave(contestants, min(options.repeats, task.most_repeats))
    used = {name: memory.of_training(name, task) for name in installed()}
    return {"seconds": result.seconds, "losses": losses, "bytes": used}


def _missing():
    missing = {name: peer.why_missing() for name, peer in PEERS.items()}
    lines = [f"- {PEERS[k].title}: {why}" for k, why in missing.items() if why]
    return ["Not installed here:\n\n" + "\n".join(lines)] if lines else []


def contestants_of(task, X, y, names=None):
    """Contestants that train one epoch, named "peer threads"; and each peer's losses."""
    chosen = {k: peer for k, peer in installed().items() if names is None or k in names}
    # Made when all libraries are loaded, it knows their threads.
    controller = ThreadpoolController()
    contestants, losses = {}, {}
    for name, peer in chosen.items():
        losses[name] = _losses(peer.load()(task), X[:N_SAMPLES], y[:N_SAMPLES])
        if not losses[name][-1] < losses[name][0]:
            raise NotLearningError(f"{name} on {task.name}: losses {losses[name]}")
        for n in (1, 2) if peer.is_threaded and joblib.cpu_count() > 1 else (1,):
            program = peer.load()(task, n)
            train = partial(_seconds_per_epoch, controller, n, program.train)
            train(X[:N_SAMPLES], y[:N_SAMPLES], 1)
            contestants[f"{name} {n}"] = partial(train, X, y, task.n_epochs)
    return contestants, losses


def _losses(program, X, y):
    return [float(loss) for loss in program.train(X, y, N_EPOCHS)]


def _seconds_per_epoch(controller, n_threads, train, X, y, n_epochs):
    with controller.limit(limits=n_threads):
        return once(lambda: train(X, y, n_epochs))() / n_epochs


def evolution_of(layers):
    """A contestant: one evolution of some layers whose weights are normal."""
    rng = np.random.default_rng(0)
    layers = [layer for layer in layers if not layer.is_full]
    for layer in layers:
        layer.add_slots(1)

    def evolve():
        for layer in layers:
            RandomGrowth().evolve(layer, ZETA, rng)
            layer.transposed  # noqa: B018, it is computed when asked for

    def contestant():
        # New weights are zero; trained ones are not.
        for layer in layers:
            layer.weights[:] = rng.standard_normal(layer.n_connections, np.float32)
        return once(evolve)()

    contestant()
    return contestant


def _add_task(section, task, result, used, *, full):
    source = "real" if task.is_real else "random"
    settings = {
        "batch": task.batch_size,
        "epsilon": task.epsilon,
        "density": f"{task.density:.1%}",
        "learning rate": task.learning_rate,
        "repeats": len(result.seconds["ours 1"]),
    }
    section.add_text(
        f"**{task}**: {task.n_used(full=full):,} {source} samples, "
        + ", ".join(f"{name} {value}" for name, value in settings.items())
        + f"; the samples of the memory column take {memory.of_samples(task) / 1e6:.1f} MB."
    )
    section.add_table([_row(name, result, used[name]) for name in installed()])
    section.measured[task.name] = result.seconds
    section.measured[f"{task.name}, bytes"] = used


def _row(name, result, n_bytes):
    row = {"program": PEERS[name].title}
    for n, label in ((1, "one thread"), (2, "two threads")):
        has = f"{name} {n}" in result.seconds
        row[f"{label}, s"] = f"{result.median(f'{name} {n}'):.3f}" if has else ""
        other = has and name != "ours"
        row[f"{label}, faster"] = _faster(result, name, n) if other else ""
    return row | {"memory, MB": f"{n_bytes / 1e6:.0f}"}


def _faster(result, name, n_threads):
    return spread(result.ratios(f"{name} {n_threads}", f"ours {n_threads}"))


def _evolution_row(name, result):
    share = _evolution_share(result)
    return {
        "network": str(TASKS[name]),
        "evolution, ms": f"{1e3 * result.median('evolution'):.2f}",
        "epoch, ms": f"{1e3 * result.median('ours 1'):.1f}",
        "share": f"{median(share):.1%} ({min(share):.1%}-{max(share):.1%})",
    }


def _evolution_share(result):
    pairs = zip(result.seconds["evolution"], result.seconds["ours 1"], strict=True)
    return [evolution / (evolution + epoch) for evolution, epoch in pairs]


def _learning_rows(losses):
    rows = []
    for name in installed():
        row = {"program": PEERS[name].title}
        for task, values in losses.items():
            first, *_, last = values[name]
            row[task] = f"{first:.3f} to {last:.3f}"
        rows.append(row)
    return rows


def _add_targets(section, results):
    if PEERS["torch"].why_missing() is None:
        for name, wanted in WANTED.items():
            ratios = results[name].ratios("torch 1", "ours 1")
            title = f"epoch of {TASKS[name]}, times faster than PyTorch dense, one thread"
            met = median(ratios) >= wanted
            section.add_target(title, f"at least {wanted}", spread(ratios), met=met)
    closest, ratios = _closest(results)
    title = f"epochs, times faster than any other program; closest: {closest}"
    section.add_target(title, "at least 1", spread(ratios), met=median(ratios) >= 1)
    share = median(_evolution_share(results["mnist"]))
    title = f"evolution, share of an epoch of {TASKS['mnist']}"
    section.add_target(title, "at most 5 %", f"{share:.1%}", met=share <= MOST_EVOLUTION)


def _closest(results):
    """The comparison in which this package wins by least, and its ratios."""
    ratios = {}
    for task, result in results.items():
        for contestant in result.seconds:
            name, _, n = contestant.partition(" ")
            if name in PEERS and name != "ours":
                label = f"{PEERS[name].title} on {task}, threads: {n}"
                ratios[label] = result.ratios(contestant, f"ours {n}")
    return min(ratios.items(), key=lambda item: median(item[1]))


def _plot(results):
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    names = [name for name in installed() if name != "ours"]
    for name, marker in zip(names, MARKERS, strict=False):
        ratios = [median(r.ratios(f"{name} 1", "ours 1")) for r in results.values()]
        title = PEERS[name].title
        axes.plot(list(results), ratios, marker, ls=":", lw=0.5, label=title)
    axes.axhline(1, color="black", lw=1)
    axes.set(yscale="log", ylabel="epoch over this package's (times)", xlabel="network")
    axes.set_title("one thread each; above the line this package is faster")
    axes.legend(fontsize="small")
    return figure
