"""What Zhang claims, and what the finished runs say."""

from collections.abc import Iterator

import numpy as np

from benchmarks.literature import (
    cifar,
    densities,
    explosions,
    fashion,
    madelon,
    slope_signs,
    zhang,
)
from benchmarks.literature.claims import Claim, kept, order_of, ranked, spread, verdict
from benchmarks.literature.comparison import beside
from benchmarks.literature.runs import Runs

EGF = "norm 1, 1000 samples"


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
        + (
            f"the seeds of either by up to {spread(results[first], results[second]):.2f}"
            if seeds > 1
            else "one seed"
        )
        if top and order_of(own) != order_of(printed)
        else "-",
    )


def flow_claim(data: str, title: str, results: dict) -> Claim:
    printed = {name: figures[1] for name, figures in zhang.PRINTED[data].items()}
    own = {
        name: float(np.mean([r["flow"][EGF]["largest"] for r in found]))
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
        "the document's" + sign_reason(),
    )


def sign_reason() -> str:
    """What the measured gradients say of the second layer's slope."""
    found = slope_signs.measured(kept("slope_signs"))
    if not found:
        return ": open"
    runs = [result for results in found.values() for result in results]
    last = [result["last"][slope_signs.LAYER] for result in runs]
    raised = [100 * result["raised"][slope_signs.LAYER] for result in runs]
    names = ", ".join(dict.fromkeys(name for name, _ in found))
    return (
        f". With {names}, one at a time, the slope ends below zero in "
        f"{sum(value < 0 for value in last)} of {len(runs)} runs, and an epoch's mean "
        f"gradient raises it in {min(raised):.0f} to {max(raised):.0f} % of the epochs"
    )


def density_claim() -> Iterator[Claim]:
    runs = kept("densities")
    found = runs.cells(zhang.train, densities.grid_of(madelon.NETWORK, zhang.SEEDS))
    table = densities.verdicts(found, madelon.NETWORK["max_iter"])
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
    as_said = table["LeakyReLU explodes"].iloc[-1]
    n_epochs, changed = explosions.measured(kept("explosions"))
    yield Claim(
        "at epsilon 40 Leaky ReLU explodes after about 100 epochs",
        f"in {as_said} runs with new weights of zero; it and nothing else, also not at "
        f"epsilon {explosions.SPARSE}: {explosions.said_alone(n_epochs, changed)}",
        verdict(not as_said.startswith("0"), bool(explosions.alone(n_epochs, changed))),
        "the document does not say how new weights begin, nor which penalty there is. No "
        f"longer finite, by these: {explosions.reason(n_epochs, changed)}",
    )


def zhang_claims() -> Iterator[Claim]:
    runs = kept("madelon")
    on_madelon = zhang.results_by_activation(runs, "madelon", 0.5, madelon.NETWORK)
    on_fashion = zhang.results_by_activation(
        kept("fashion"), "fashion_mnist", fashion.SLOPE, fashion.NETWORK, fashion.SEEDS
    )
    on_cifar = cifar.measured(kept("cifar"))
    yield best_claim("madelon", "Madelon", on_madelon)
    yield best_claim("fashion_mnist", "Fashion-MNIST", on_fashion)
    yield best_claim("cifar10", f"CIFAR-10, {cifar.N_EPOCHS} epochs", on_cifar)
    for page, name, data, title in (
        (fashion, "fashion", "fashion_mnist", "Fashion-MNIST"),
        (cifar, "cifar", "cifar10", "CIFAR-10"),
    ):
        results = page.networks_without_decay(kept(name))
        n_epochs = page.WITHOUT_DECAY["n_epochs"]
        yield best_claim(data, f"{title}, no weight decay, {n_epochs} epochs", results)
    yield flow_claim("madelon", "Madelon", on_madelon)
    yield flow_claim("fashion_mnist", "Fashion-MNIST", on_fashion)
    yield from slope_claims(runs)
    yield from density_claim()
