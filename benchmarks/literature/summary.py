"""What the five documents claim, beside what the finished runs of the other tables say.

Nothing is run here: every figure is computed from the committed results.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from benchmarks.literature import (
    chouliaras,
    dead_nodes,
    depth,
    depths,
    dying,
    edge,
    layers_by_epoch,
    liset,
    nodes,
    regrowth,
    skips,
)
from benchmarks.literature.claims import (
    Claim,
    extent,
    kept,
    order_of,
    verdict,
)
from benchmarks.literature.claims_zhang import zhang_claims
from benchmarks.literature.comparison import standard_error, with_error
from benchmarks.literature.runs import RESULTS
from benchmarks.tables import markdown
from sksparse_mlp.analysis import average_ratioed_accuracy

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

    yield from skip_claims()


def skip_claims() -> Iterator[Claim]:
    values, places, found = skips.measured(kept("skips"))
    if len(found) == len(skips.RULES):
        ara, last = (
            {
                name: np.mean([measure(r["accuracy"]) for r in results])
                for name, results in found.items()
            }
            for measure in (skips.ara, lambda accuracy: accuracy[-1])
        )
        ahead = [
            max(v for n, v in own.items() if n != "SET") - own["SET"] for own in (ara, last)
        ]
        data, epsilon = skips.DATA
        printed = liset.PRINTED_SET[skips.DATA]
        yield Claim(
            f"{data}, epsilon {epsilon}, with the document's {skips.N_SAMPLES:,} samples",
            f"{ahead[0]:+.2f} and {ahead[1]:+.2f}, the best of {len(found) - 1} gammas; "
            f"SET has {ara['SET']:.2f} in ARA (document {printed[0]}) and "
            f"{last['SET']:.2f} % at the end ({printed[1]})",
            verdict(min(ahead) > 0.5, max(ahead) > 0.5),
            "-" if min(ahead) > 0.5 else "as above: the networks learn too fast",
        )
    if values is not None:
        ratios = {
            gamma: max(own) / min(own)
            for gamma in skips.GAMMAS
            for own in [skips.likelihood(gamma, values)]
        }
        low, high = min(ratios), max(ratios)
        yield Claim(
            "the likeliest input is e times as likely as the least for very negative "
            "gammas; with large ones LiSET is as SET",
            f"{ratios[low]:.2f} times at gamma {low}, {ratios[high]:.3f} at {high}",
            verdict(abs(ratios[low] - np.e) < 0.01 and ratios[high] < 1.01),
        )
    gaps = skips.gaps(places)
    if gaps:
        texts = [f"{name} {with_error(gap)}" for name, gap in gaps.items()]
        clear = [
            name
            for name, gap in gaps.items()
            if len(gap) > 1 and abs(np.mean(gap)) > 2 * standard_error(gap)
        ]
        yield Claim(
            "left for later: whether LiSET helps in early or in deep layers",
            f"isolet, mean accuracy less SET's in points, LiSET in {'; '.join(texts)}",
            "open question",
            "beyond two standard errors: " + (", ".join(clear) or "none"),
        )


def chouliaras_claims() -> Iterator[Claim]:
    yield from speed_claims()
    yield from regrowth_claims()


def regrowth_claims() -> Iterator[Claim]:
    found, copies, large, single = regrowth.measured(kept("regrowth"))
    yield from ending_claims(found)
    if large:
        stuck = {
            name: max(results[0]["accuracy"]) <= regrowth.STUCK
            for name, results in large.items()
        }
        yield Claim(
            "four layers of 4000 are stuck at 10 % for the first 10 to 30 epochs",
            "; ".join(
                f"initial weights by {name}: {'stuck' if is_stuck else 'learns'}, "
                f"at most {max(large[name][0]['accuracy']):.0f} %"
                for name, is_stuck in stuck.items()
            ),
            verdict(all(stuck.values()), any(stuck.values())),
            f"its initial weights are not said; ours are {regrowth.N_LARGE_EPOCHS} epochs "
            f"of {regrowth.N_IMAGES} images",
        )
    if len(copies) > 1:
        texts = [
            f"{name} {with_error([r['accuracy'][-1] for r in results])}"
            for name, results in copies.items()
        ]
        yield Claim(
            "images are augmented for networks of 4000-1000-4000",
            f"copies of {regrowth.N_IMAGES} images: {'; '.join(texts)} %",
            "not a claim",
            "the document does not compare with and without",
        )
    if single:
        times = {
            hidden: result["sparse"] / result["dense"]
            for hidden, [result] in single.items()
        }
        yield Claim(
            "predictions of sparse networks are faster than those of dense ones",
            "a single one takes, of the time of PyTorch's full layers: "
            + "; ".join(
                f"{'-'.join(map(str, hidden))} {ratio:.2f}"
                for hidden, ratio in times.items()
            ),
            verdict(max(times.values()) < 1, min(times.values()) < 1),
            "checking one sample takes longer than the layers of a small network"
            if max(times.values()) >= 1
            else "-",
        )


def ending_claims(found: dict) -> Iterator[Claim]:
    """When evolution ends, and how new weights begin: differences from SET, all data."""
    gaps = {
        name: np.concatenate(own)
        for name in regrowth.VARIANTS
        if name != regrowth.SET
        and (
            own := [
                g
                for data in regrowth.SMALL
                for g in [regrowth.gap(found, data, name)]
                if g.size
            ]
        )
    }
    ending = {
        n: gaps[f"SET, off in the last {n}"]
        for n in regrowth.OFF[1:]
        if f"SET, off in the last {n}" in gaps
    }
    if ending:
        is_small = {n: abs(np.mean(g)) <= 2 * standard_error(g) for n, g in ending.items()}
        agree = [bool(is_small[n]) == (n <= 10) for n in ending]
        yield Claim(
            "evolution off in the last 1, 5 or 10 epochs does not matter, in more it harms",
            "points less than SET's: "
            + "; ".join(f"last {n} {with_error(g)}" for n, g in ending.items())
            + f" ({' and '.join(regrowth.SMALL)}, of {regrowth.N_EPOCHS} epochs)",
            verdict(all(agree), any(agree)),
            "within two standard errors counts as no matter; a gain is no harm"
            if not all(agree)
            else "-",
        )
    if {regrowth.NEW, regrowth.SMALLER, regrowth.NEW_SMALLER} <= set(gaps):
        smaller = gaps[regrowth.NEW_SMALLER] - gaps[regrowth.SMALLER]
        yield Claim(
            "new weights begin as at initialisation",
            f"points beside new weights of zero: {with_error(gaps[regrowth.NEW])}; if all "
            f"begin smaller, by all input neurons, {with_error(smaller)}",
            "not a claim",
            "the document does not compare with zero, and does not say how weights begin",
        )


def speed_claims() -> Iterator[Claim]:
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
        "; ".join(texts) + " (one seed)",
        verdict(all(map(depth.has_trained, deep))),
    )
    yield from edge_claims()


def edge_claims() -> Iterator[Claim]:
    flows, found, longer, deep = edge.measured(kept("edge"))
    if found:
        points = {depth.label(a): edge.edge_of_chaos(a) for a in edge.GRID}
        trains = {n: np.nanmean(edge.last(results)) > 50 for n, results in found.items()}
        stable = [n for n in found if np.isfinite(clip_of(n)) and points[n].stability < 0.9]
        others = [n for n in found if n not in stable]
        n_seeds = max(map(len, found.values()))
        n_stable, n_others = sum(trains[n] for n in stable), sum(trains[n] for n in others)
        later = {n: np.nanmean(edge.last(results)) for n, results in longer.items()}
        in_the_end = [n for n in found if trains[n] or later.get(n, 0) > 50]
        yield Claim(
            "a small clip keeps training stable; a large one, or none, does not",
            f"depth {edge.DEPTH}, seeds: {n_seeds}: {n_stable} of {len(stable)} clipped "
            f"ones with V' < 0.9 train, {n_others} of {len(others)} others",
            verdict(sorted(in_the_end) == sorted(stable), n_stable > n_others),
            f"of those that did not, with rate {edge.LOWER_RATE:g} and for longer: "
            + "; ".join(f"{n} {mean:.0f} %" for n, mean in later.items())
            if later
            else "-",
        )
    if flows:
        ratios = {
            name: np.median([r["norms"][1] / r["norms"][-2] for r in results])
            for name, results in flows.items()
            if all(r["norms"][-2] > 0 for r in results)
        }
        off = {n: max(r, 1 / r) if r > 0 else np.inf for n, r in ratios.items()}
        failing = [n for n in off if n not in ("stable", "relu")]
        alike = [n for n in failing if off[n] <= 3 * off["stable"]]
        largest = {n: np.median([max(r["norms"]) for r in flows[n]]) for n in off}
        yield Claim(
            "with more than one fixed point gradients vanish or explode",
            "gradient of the second layer over that of the last, median: "
            + "; ".join(f"{name} {ratio:.3g}" for name, ratio in ratios.items()),
            verdict(not alike, len(alike) < len(failing)),
            "; ".join(
                f"{n}: gradients are about as large in all layers, but "
                f"{largest[n] / largest['stable']:.2g} times those of the stable one"
                for n in alike
            )
            or "-",
        )
    if deep:
        for layers, (_, n_train, n_epochs) in edge.DEEP_PLAN.items():
            own = {a: edge.last(r) for (k, a), r in deep.items() if k == layers}
            texts = [f"{depth.label(a)} {with_error(r, 1)}" for a, r in own.items()]
            trains = {a: np.mean(r) > 50 for a, r in own.items()}
            clipped = [trains[a] for a in own if np.isfinite(a.clip)]
            others = [trains[a] for a in own if np.isinf(a.clip)]
            yield Claim(
                f"depth 100, {layers} layers: clipped activations train"
                + ", others do not" * bool(others),
                f"{'; '.join(texts)} % after {n_epochs} epochs of {n_train:,} samples",
                verdict(all(clipped) and not any(others), any(clipped) and not any(others)),
                f"{sum(clipped)} of {len(clipped)} clipped ones pass 50 % in so short a "
                "training; the document's accuracies are in a figure that is not in the "
                "text we have",
            )


def clip_of(name: str) -> float:
    """The clip of an activation of the grid, by its label."""
    return next(a.clip for a in edge.GRID if depth.label(a) == name)


def pretorius_claims() -> Iterator[Claim]:
    runs = kept("nodes")
    grid = [{"settings": nodes.SHARED | network} for network in nodes.NETWORKS]
    found = runs.map(nodes.measure, grid)
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
        "one seed, at most 25 epochs instead of 300: open" if max(apart) > 0.3 else "-",
    )
    yield from first_dead_claims(found)
    yield from dead_claims()
    yield from by_epoch_claims()
    yield from dying_claims()


def first_dead_claims(found: list[dict]) -> Iterator[Claim]:
    measured = dict(zip(map(nodes.label, nodes.NETWORKS), found, strict=True))
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


def dead_claims() -> Iterator[Claim]:
    found, short, *_ = dead_nodes.measured(kept("dead_nodes"))
    if not found:
        return
    own, theirs, living, every, longer = {}, {}, [], [], []
    for (n_layers, name), results in found.items():
        label = f"{n_layers} x {name}"
        own[label] = [dead_nodes.dead(result, n_layers) for result in results]
        theirs[label] = dead_nodes.printed(nodes.DOCUMENT_DEAD, n_layers, name)
        if (n_layers, name) in short:
            earlier = [dead_nodes.dead(r, n_layers) for r in short[n_layers, name]]
            longer.append(f"{label} {np.mean(earlier):.1f} to {np.mean(own[label]):.1f}")
        for before in (result["untrained, train"] for result in results):
            shares = 100 * np.array(before["sparsity"])
            dead = np.array(before["dead"]) / dead_nodes.WIDTH
            living += shares.tolist()
            every += (100 * dead + (1 - dead) * shares).tolist()
    close = [abs(theirs[n] - np.mean(own[n])) <= 2 for n in own]
    yield Claim(
        "the same with biases in the first layer only: "
        + ", ".join(f"{n} {d:.1f}" for n, d in theirs.items()),
        ", ".join(f"{n} {with_error(d, digits=1)}" for n, d in own.items()),
        verdict(all(close), any(close)),
        f"{dead_nodes.N_EPOCHS} of the 300 epochs. From {dead_nodes.N_SHORT_EPOCHS} epochs "
        f"of {dead_nodes.N_SHORT_SAMPLES:,} samples to these: {', '.join(longer)}. What is "
        "left: open",
    )
    yield Claim(
        "untrained layers are all close to 50 % sparse",
        f"{min(living):.0f} to {max(living):.0f} %, mean {np.mean(living):.1f} %",
        verdict(max(living) < 55 and min(living) > 45, 45 < np.mean(every) < 55),
        f"of nodes that are not dead; with the dead ones {min(every):.0f} to "
        f"{max(every):.0f} %, mean {np.mean(every):.1f} %: untrained logistic nodes "
        "of deep layers are on for all samples or for none",
    )


def by_epoch_claims() -> Iterator[Claim]:
    epochs, widths = layers_by_epoch.measured(kept("layers_by_epoch"))
    for activation, results in epochs.items():
        rise = [
            100 * (curve[-1][-1] - curve[-1][0])
            for r in results
            for curve in [r["layers"]["layer_accuracy"]]
        ]
        yield Claim(
            f"{activation}: accuracies of layers rise with depth (Figure 6.6)",
            f"discrete, the last less the first: {with_error(rise)} points after "
            f"{layers_by_epoch.N_EPOCHS} epochs",
            verdict(min(rise) > 0, max(rise) > 0),
            "-"
            if min(rise) > 0
            else "the network itself has "
            f"{100 * np.mean([r['network'][-1] for r in results]):.0f} % by then, and the "
            "last layer as much: its deep layers are not trained yet",
        )
    if widths:
        gaps = {
            cell: 100
            * np.mean([r["layers"]["discrete"][-1] - r["network"] for r in results])
            for cell, results in widths.items()
        }
        near = [abs(gap) <= nodes.WANTED_GAP for gap in gaps.values()]
        yield Claim(
            "the last layer is about as good as the network at every width, 20 to 800",
            "discrete, points: "
            + "; ".join(f"{a} {w}: {g:+.1f}" for (a, w), g in gaps.items()),
            verdict(all(near), any(near)),
            f"within {nodes.WANTED_GAP} points counts; after short training: open"
            if not all(near)
            else "-",
        )
    yield from depth_claims()


def depth_claims() -> Iterator[Claim]:
    curves = depths.measured(kept("depths"))
    best = {cell: float(np.mean([r["best"] for r in rs])) for cell, rs in curves.items()}
    protocol = f"{depths.N_EPOCHS} epochs of {depths.N_SAMPLES} samples, one seed"
    ahead = [
        best[*own, "relu"] - best[*own, "logistic"]
        for *own, name in best
        if name == "relu" and (*own, "logistic") in best
    ]
    if ahead:
        n_ahead = sum(gap > 0 for gap in ahead)
        yield Claim(
            "relu outperforms logistic networks in every configuration (chapter 3)",
            f"in {n_ahead} of {len(ahead)}, by {extent(ahead)} points",
            verdict(n_ahead == len(ahead), n_ahead > 0),
            protocol,
        )
    wider = [
        best[data, 800, n_layers, name] - best[data, 200, n_layers, name]
        for data, width, n_layers, name in best
        if width == 800 and (data, 200, n_layers, name) in best
    ]
    if wider:
        n_wider = sum(gap > 0 for gap in wider)
        yield Claim(
            "networks of width 800 are slightly better than those of width 200",
            f"in {n_wider} of {len(wider)}, by {extent(wider)} points",
            verdict(n_wider == len(wider), n_wider > 0),
            protocol if n_wider == len(wider) else f"{protocol}: open",
        )
    ends = [best.get(("mnist", 200, n_layers, "logistic")) for n_layers in (2, 8)]
    if None not in ends:
        yield Claim(
            "MNIST, width 200: logistic networks get worse with depth",
            f"{ends[0]:.1f} % with 2 layers, {ends[1]:.1f} % with 8",
            verdict(ends[1] < ends[0]),
            protocol,
        )


def dying_claims() -> Iterator[Claim]:
    found = dying.measured(kept("dying"))
    if found:
        yield Claim(
            "open in the document: from which sparsity relu harms",
            dying.verdict(found),
            "open question",
            "networks of 4 x 200 on MNIST under SET",
        )


# Per document its claims, and the pages of its tables.
DOCUMENTS: dict[str, tuple[Callable[[], Iterator[Claim]], dict[str, str]]] = {
    "Zhang 2023": (
        zhang_claims,
        {
            "madelon": "Madelon",
            "densities": "by density",
            "explosions": "explosions",
            "fashion": "Fashion-MNIST",
            "cifar": "CIFAR-10",
            "sparsity": "sparsity of layers",
            "slope_signs": "signs of slopes",
        },
    ),
    "Radu 2021": (
        radu_claims,
        {"liset": "LiSET against SET", "skips": "strengths and places"},
    ),
    "Price et al. 2024": (
        price_claims,
        {"depth": "depth", "edge": "thresholds and clips"},
    ),
    "Chouliaras 2021": (
        chouliaras_claims,
        {
            "chouliaras": "wide data and large networks",
            "schedules": "schedules",
            "regrowth": "curves and new weights",
        },
    ),
    "Pretorius 2020": (
        pretorius_claims,
        {
            "nodes": "nodes",
            "dead_nodes": "dead nodes by seed",
            "layers_by_epoch": "layers by epoch and width",
            "depths": "depth and width",
            "dying": "dying relu",
        },
    ),
}


def links(pages: dict[str, str]) -> str:
    """To the pages that there are: those of tables with a finished run."""
    return ", ".join(
        f"[{words}]({name}.md)"
        for name, words in pages.items()
        if (RESULTS / f"{name}.md").is_file()
    )


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
        parts += [
            f"## {document}",
            f"{links(pages)}. Claims that agree: {said}.",
            markdown(table),
        ]
    runs.path("md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
