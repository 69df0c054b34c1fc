"""What the five documents claim, beside what the finished runs of the other tables say.

Nothing is run here: every figure is computed from the committed results.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.literature import (
    chouliaras,
    densities,
    depth,
    fashion,
    liset,
    madelon,
    nodes,
    zhang,
)
from benchmarks.literature.comparison import beside
from benchmarks.literature.runs import Runs
from benchmarks.tables import markdown
from sksparse_mlp.analysis import average_ratioed_accuracy

EGF = "norm 1, 1000 samples"


@dataclass(frozen=True)
class Claim:
    """A statement of a document, our figure, whether it agrees, and why if it does not."""

    claim: str
    ours: str
    agrees: str
    why: str = "-"


def kept(name: str) -> Runs:
    """The committed runs of a table."""
    return Runs(name, only_finished=True, other_versions=True)


def verdict(agrees: bool, in_part: bool = False) -> str:
    return "yes" if agrees else "in part" if in_part else "no"


def ranked(values: dict[str, float], digits: int = 1) -> str:
    order = sorted(values, key=lambda name: -values[name])
    return " > ".join(f"{name} {values[name]:.{digits}f}" for name in order)


def spread(*cells: list[dict]) -> float:
    """By how many points the best accuracies of the seeds of a cell differ, at most."""
    best = [[max(result["accuracy"]) for result in results] for results in cells]
    return max(max(values) - min(values) for values in best)


def order_of(values: dict[str, float]) -> list[str]:
    return sorted(values, key=lambda name: -values[name])


# --- Zhang ------------------------------------------------------------------------------


def best_claim(data: str, title: str, results: dict) -> Claim:
    """Whether activations come in the document's order of best test accuracy."""
    printed = {name: figures[0] for name, figures in zhang.PRINTED[data].items()}
    own = {
        name: float(np.mean([max(r["accuracy"]) for r in found]))
        for name, found in results.items()
    }
    seeds = len(next(iter(results.values())))
    first, second = order_of(own)[:2]
    top = {*order_of(printed)[:2]} == {first, second}
    return Claim(
        f"{title}, best test accuracy (%): {ranked(printed, 2)}",
        f"{ranked(own, 2)} (seeds: {seeds})",
        verdict(order_of(own) == order_of(printed), top),
        f"the first two are the document's; {own[first] - own[second]:.2f} points apart, "
        f"the seeds of either by up to {spread(results[first], results[second]):.2f}"
        if top and order_of(own) != order_of(printed)
        else "-",
    )


def flow_claim(data: str, title: str, results: dict) -> Claim:
    printed = {name: figures[1] for name, figures in zhang.PRINTED[data].items()}
    own = {
        name: float(np.mean([max(r["flow"][EGF]) for r in found]))
        for name, found in results.items()
    }
    least = order_of(own)[-1] == order_of(printed)[-1]
    alternating = {*order_of(own)[:2]} == {*order_of(printed)[:2]}
    factors = [own[name] / printed[name] for name in own]
    return Claim(
        f"{title}, largest gradient flow: {ranked(printed, 3)}",
        f"{ranked(own, 3)} (norm 1)",
        verdict(least and alternating, least or alternating),
        f"the scale is {min(factors):.2g} to {max(factors):.2g} times the document's; its "
        "samples and their number are not said, and neither norm gives its scale on both "
        "data sets: open",
    )


def slope_claims(runs: Runs) -> Iterator[Claim]:
    off = {}
    for name, maker in madelon.MAKERS.items():
        by_slope = madelon.results_by_slope(runs, madelon.NETWORK, maker)
        figures = zip(madelon.PRINTED_BY_SLOPE[name], by_slope.items(), strict=True)
        off[name] = [
            f"{slope}"
            for printed, (slope, results) in figures
            if beside(printed, [max(r["accuracy"]) for r in results])["within two"] != "yes"
        ]
    n_all = len(madelon.MAKERS) * len(madelon.SLOPES)
    n_off = sum(map(len, off.values()))
    yield Claim(
        "Madelon, best accuracy by starting slope (Table 7.3)",
        f"{n_all - n_off} of {n_all} figures within two standard errors; not: "
        + "; ".join(f"{name} {' '.join(slopes)}" for name, slopes in off.items() if slopes),
        verdict(n_off == 0, n_off < n_all / 2),
        "dropout and weight decay, of which the document says little, move Leaky ReLU's "
        "large slopes by as much (table on the page)",
    )
    slopes = madelon.ending_slopes(runs, madelon.NETWORK)
    document = slopes.pop("document")
    off = {way: float(abs(values - document).mean()) for way, values in slopes.items()}
    second = {way: int(np.sum(values[:, 1] < 0)) for way, values in slopes.items()}
    n_raised = int(np.sum(slopes["per epoch"][:, 1] > madelon.SLOPES))
    yield Claim(
        f"Madelon, ending slopes (Table 7.4): the second layer's becomes negative in "
        f"{np.sum(document[:, 1] < 0)} of {len(document)} starts",
        "by how slopes are updated, negative second layers and mean distance from the "
        "document: " + "; ".join(f"{way} {second[way]}, {off[way]:.2f}" for way in slopes),
        verdict(False, any(n > len(document) / 2 for n in second.values())),
        f"updates per epoch down the gradient raise the second layer's slope in {n_raised} "
        f"of {len(document)} starts: the loss falls that way. Only readings that do not "
        "descend (the printed equation lacks the sign) make any negative, and none gives "
        "the document's. What another reading of its dropout does was not tried: open",
    )


def density_claim() -> Iterator[Claim]:
    runs = kept("densities")
    found = runs.cells(zhang.train, densities.grid_of(madelon.NETWORK, zhang.SEEDS))
    table = densities.verdicts(found)
    columns = {
        "both alternating activations are ahead": "both alternating ahead of the other two",
        "Leaky ReLU is last": "LeakyReLU is last",
    }
    for claim, column in columns.items():
        n_yes = int((table[column] == "yes").sum())
        yield Claim(
            f"Madelon, epsilon 10 to 40 (Figure 7.2): {claim}",
            f"at {n_yes} of {len(table)} epsilons ({sum(map(len, found.values()))} runs)",
            verdict(n_yes == len(table), n_yes > 0),
            "-"
            if n_yes == len(table)
            else f"seeds of a network are up to {spread(*found.values()):.1f} points apart",
        )
    explosions = table["LeakyReLU explodes"].iloc[-1]
    yield Claim(
        "at epsilon 40 Leaky ReLU explodes after about 100 epochs",
        f"in {explosions} runs",
        verdict(not explosions.startswith("0")),
        "-" if not explosions.startswith("0") else "open: see the changed protocols there",
    )


def zhang_claims() -> Iterator[Claim]:
    runs = kept("madelon")
    on_madelon = zhang.results_by_activation(runs, "madelon", 0.5, madelon.NETWORK)
    on_fashion = zhang.results_by_activation(
        kept("fashion"), "fashion_mnist", fashion.SLOPE, fashion.NETWORK, fashion.SEEDS
    )
    yield best_claim("madelon", "Madelon", on_madelon)
    yield best_claim("fashion_mnist", "Fashion-MNIST", on_fashion)
    yield flow_claim("madelon", "Madelon", on_madelon)
    yield flow_claim("fashion_mnist", "Fashion-MNIST", on_fashion)
    yield from slope_claims(runs)
    yield from density_claim()


# --- the others -------------------------------------------------------------------------


def radu_claims() -> Iterator[Claim]:
    runs = kept("liset")
    for (data, epsilon), (aras, finals) in liset.PRINTED.items():
        scores = liset.results(runs, data, epsilon, liset.rules())
        three = [f"LiSET, gamma {gamma}" for gamma in liset.GAMMAS]
        ara = {
            name: 100 * float(np.mean([average_ratioed_accuracy(s / 100) for s in own]))
            for name, own in scores.items()
        }
        final = {name: float(own[:, -1].mean()) for name, own in scores.items()}
        best, last = max(three, key=ara.get), max(three, key=final.get)
        own = ara[best] - ara["SET"], final[last] - final["SET"]
        theirs = (
            max(aras) - liset.PRINTED_SET[data, epsilon][0],
            max(finals) - liset.PRINTED_SET[data, epsilon][1],
        )
        yield Claim(
            f"{data}, epsilon {epsilon}: the best LiSET is ahead of SET by "
            f"{theirs[0]:+.2f} in ARA and {theirs[1]:+.2f} in final accuracy (points)",
            f"{own[0]:+.2f} and {own[1]:+.2f}, the best of {len(three)} gammas",
            verdict(min(own) > 0.5, max(own) > 0.5),
            "-"
            if min(own) > 0.5
            else "with initial weights as small as a masked full layer's LiSET is ahead by "
            "several points on MNIST, with He's the networks learn too fast for it to "
            "matter; the document's program never changes its masks (page)",
        )


def chouliaras_claims() -> Iterator[Claim]:
    runs = kept("chouliaras")
    most = fastest = 0
    parts, changes, shares = [], [], []
    for data in chouliaras.SMALL:
        results = chouliaras.compare(
            runs, data, chouliaras.SEEDS,
            chouliaras.networks(
                chouliaras.N_EPOCHS, learning_rate_init=chouliaras.LOWER_RATE
            ),
            {
                "hidden": chouliaras.HIDDEN, "batch_size": 2,
                "learning_rate": chouliaras.LOWER_RATE,
                "n_epochs": chouliaras.N_DENSE_EPOCHS,
            },
        )  # fmt: skip
        means = {name: pd.DataFrame(own).mean() for name, own in results.items()}
        evolving = {n: means[n] for n in ("SET", "LDV", "OSV", "EXD")}
        accuracy = {n: float(m["accuracy"]) for n, m in evolving.items()}
        seconds = {n: float(m["seconds"]) for n, m in evolving.items()}
        most += max(accuracy, key=accuracy.get) == "EXD"
        fastest += min(seconds, key=seconds.get) == "EXD"
        parts.append(
            f"{data} {accuracy['EXD'] - accuracy['SET']:+.1f} points, time "
            f"{100 * (seconds['EXD'] / seconds['SET'] - 1):+.0f} %"
        )
        shares += [
            100 * r["evolution"] / (r["seconds"] * r["epochs"]) for r in results["SET"]
        ]
        changes.append(100 * (1 - means["SET"]["seconds"] / means["dense"]["seconds"]))
    n_sets = len(chouliaras.SMALL)
    yield Claim(
        "EXD is the best and the fastest of the evolving networks",
        f"most accurate on {most} of {n_sets} small data sets, fastest on {fastest}; "
        f"against SET: {'; '.join(parts)}",
        verdict(most == fastest == n_sets, most + fastest > 0),
        f"SET's evolution takes {min(shares):.0f} to {max(shares):.0f} % of our training: "
        "with less of it there is no more to gain. Accuracies are those of three seeds",
    )
    yield Claim(
        "sparse networks train at least 20 to 62 % faster than dense ones, by data set",
        f"{min(changes):.0f} to {max(changes):.0f} % less time than PyTorch's dense layers",
        verdict(min(changes) >= 62),
    )
    yield Claim(
        "learning rate 0.01 with momentum 0.9 and batches of 2",
        f"diverges or learns badly, {chouliaras.LOWER_RATE} learns (table on the page)",
        "no",
        "the document prints momentum with the gradient multiplied by 1 - 0.9: its rate of "
        "0.01 is then 0.001 in the usual form, at which ours learns",
    )


def price_claims() -> Iterator[Claim]:
    results = depth.measure(kept("depth"), depth.PLAN)
    meant = [
        r for r in results if r["activation"] in depth.CLIPPED and r["n_train"] == 60_000
    ]
    texts = [
        f"{depth.label(r['activation'])} {r['layers']} {100 * r['accuracy'][-1]:.1f} %, "
        f"{100 * np.mean(r['zeros']):.0f} % zeros"
        for r in meant
    ]
    yield Claim(
        "depth 30: clipped activations train, most hidden outputs being zero",
        "; ".join(texts),
        verdict(all(depth.has_trained(r) and np.mean(r["zeros"]) > 0.5 for r in meant)),
    )
    unclipped = [r for r in results if np.isinf(r["activation"].clip)]
    n_failed = sum(not depth.has_trained(r) for r in unclipped)
    yield Claim(
        "unclipped ones do not train",
        f"{n_failed} of {len(unclipped)} networks do not",
        verdict(n_failed == len(unclipped), n_failed > 0),
    )
    deep = [r for r in results if r["depth"] == 100 and r["activation"].clip < np.inf]
    texts = [
        f"{depth.label(r['activation'])} {r['layers']} {100 * r['accuracy'][-1]:.1f} %"
        for r in deep
    ]
    yield Claim(
        "depth 100: clipped activations train",
        "; ".join(texts) + " (one seed, no full layers)",
        verdict(all(map(depth.has_trained, deep))),
    )


def pretorius_claims() -> Iterator[Claim]:
    runs = kept("nodes")
    grid = [{"settings": nodes.SHARED | network} for network in nodes.NETWORKS]
    found = runs.map(nodes.measure, grid)
    measured = dict(zip(map(nodes.label, nodes.NETWORKS), found, strict=True))
    gaps = [abs(gap) for r in found for gap in nodes.last_gaps(r).values()]
    within = sum(gap <= nodes.WANTED_GAP for gap in gaps)
    yield Claim(
        "the last hidden layer classifies as well as the network, in every system",
        f"{within} of {len(gaps)} within {nodes.WANTED_GAP} points, the worst is off by "
        f"{max(gaps):.1f}",
        verdict(within == len(gaps), within > len(gaps) / 2),
        "the continuous system of logistic layers and of deep networks falls behind (table "
        "on the page): open"
        if within < len(gaps)
        else "-",
    )
    own = [100 * r["network"]["test"] for r in found[: len(nodes.KINDS)]]
    printed = nodes.DOCUMENT_ACCURACY[nodes.DEPTHS[0]]
    apart = [abs(a - b) for a, b in zip(own, printed, strict=True)]
    yield Claim(
        f"test accuracy of 4 x {nodes.WIDTH} (%): " + ", ".join(f"{a}" for a in printed),
        ", ".join(f"{a:.2f}" for a in own),
        verdict(max(apart) <= 0.3, min(apart) <= 0.3),
        "one seed, at most 25 epochs instead of 300" if max(apart) > 0.3 else "-",
    )
    dead = {
        name: 100 * sum(r["dead"]) / (nodes.WIDTH * len(r["dead"]))
        for name, r in measured.items()
    }
    document = [d for n in nodes.DEPTHS for d in nodes.DOCUMENT_DEAD[n]]
    theirs = dict(zip(dead, document, strict=True))
    is_close = [abs(theirs[name] - own) <= 2 for name, own in dead.items()]
    yield Claim(
        "dead nodes (%, Table 5.1): "
        + ", ".join(f"{n} {d:.1f}" for n, d in theirs.items()),
        ", ".join(f"{n} {d:.1f}" for n, d in dead.items()),
        verdict(all(is_close), order_of(dead)[:2] == order_of(theirs)[:2] or any(is_close)),
        "one seed, at most 25 epochs instead of 300, and biases in all layers: open",
    )


DOCUMENTS: dict[str, tuple[Callable[[], Iterator[Claim]], str]] = {
    "Zhang 2023": (
        zhang_claims,
        "[Madelon](madelon.md), [by density](densities.md), [Fashion-MNIST](fashion.md), "
        "[sparsity of layers](sparsity.md)",
    ),
    "Radu 2021": (radu_claims, "[LiSET against SET](liset.md)"),
    "Price et al. 2024": (price_claims, "[depth](depth.md)"),
    "Chouliaras 2021": (
        chouliaras_claims,
        "[wide data and large networks](chouliaras.md), [schedules](schedules.md)",
    ),
    "Pretorius 2020": (pretorius_claims, "[nodes](nodes.md)"),
}
TEXT = """\
# The documents, claim by claim

Made by `{command}` from the committed results of the pages named. The works are in the
bibliography. *Agrees* is decided by a rule in that program: *in part* where some of a
claim holds. Where it does not, the last column gives the measured reason, or says that it
is open.
How far each protocol is followed, with how many epochs and seeds, stands on the pages."""


def run(runs):
    parts = [TEXT.format(command=runs.command)]
    for document, (claims, pages) in DOCUMENTS.items():
        table = pd.DataFrame([vars(claim) for claim in claims()])
        counts = table["agrees"].value_counts()
        said = ", ".join(f"{n} {word}" for word, n in counts.items())
        parts += [f"## {document}", f"{pages}. Claims that agree: {said}.", markdown(table)]
    runs.path("md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
