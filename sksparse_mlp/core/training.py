"""The epoch loop: batches, optimizer steps, evolution, stopping; one record per epoch."""

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np

from sksparse_mlp.core import kernels
from sksparse_mlp.core.evolution import Evolution
from sksparse_mlp.core.gradients import (
    differentiate_loss,
    fill_inputs,
    gradient_flow,
    observed,
)
from sksparse_mlp.core.learning_rates import LearningRate
from sksparse_mlp.core.network import Batch, Dropout, Mask, Network
from sksparse_mlp.core.optimizers import Optimizer
from sksparse_mlp.core.program import Program
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.sampling import stream_from
from sksparse_mlp.core.skips import Skips
from sksparse_mlp.core.workers import Member, Workers

# Strength of the L2 penalty while inputs compete, as a share of what the network has
# learned.
COMPETING = 0.2


@dataclass
class Patience:
    """Notice when a quantity that should grow no longer does.

    As in scikit-learn: a plateau is reached when it failed to exceed its best value by
    ``tol`` in more than ``limit`` updates in a row.
    """

    limit: float
    tol: float
    best: float = -math.inf
    count: int = 0

    def update(self, value: float) -> bool:
        """Take a new value; return whether none before was better."""
        self.count = self.count + 1 if value < self.best + self.tol else 0
        is_best = value >= self.best
        self.best = max(self.best, value)
        return is_best

    def is_exhausted(self) -> bool:
        """Whether a plateau is reached; counting starts again if so."""
        exhausted = self.count > self.limit
        if exhausted:
            self.count = 0
        return exhausted


def copied(value: Any) -> Any:
    """The value with all arrays in its dicts, lists and tuples copied, as plain ones."""
    if isinstance(value, np.ndarray):
        return np.array(value)
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(copied, value))
    return value


@dataclass
class Training:
    """A network in training, with all that continues from one call to the next.

    Attributes
    ----------
    network : Network
    optimizer, learning_rate : members of their families in this package
    evolution : Evolution
    alpha : float
        Strength of the L2 penalty, at least: while inputs compete it is as strong as the
        network can bear, by `headroom`.
    dropout : float
        Share of hidden outputs set to zero.
    batch_size, n_epochs : int
    shuffle : bool
    patience : Patience
    data_rng : numpy.random.Generator
        Stream for shuffling and dropout.
    records_train_score : bool
        Whether the records have the score of the training samples.
    records_gradient_flow : bool
        Whether they have the effective gradient flow of some of these.
    stops_early : bool
        Whether validation samples, if there are any, decide when training stops and
        which network is the best.
    criterion : callable or None
        Score of the predictions for the validation samples; None takes their loss.
    compiles : bool
        Whether updates are one compiled call where that is possible.
    held_out : ndarray or None
        Rows of the samples from which nothing is learned before the number of inputs is
        chosen.
    headroom : float
        How far below the `baseline` the data loss of the last epoch was, if it was.
    epoch, n_updates, n_seen : int
        Epochs, updates and samples so far.
    diverged, finished : bool
        Whether the last run had to stop, and whether it came to its end.
    best : Network or None
        In a run with validation samples, the best network so far.
    best_epoch : int
        The number of epochs after which it was; 0 without one.
    seeds : list of list of int
        What the streams of the training began with, where another is to repeat it.
    """

    network: Network
    optimizer: Optimizer
    learning_rate: LearningRate
    evolution: Evolution
    alpha: float
    dropout: float
    batch_size: int
    n_epochs: int
    shuffle: bool
    patience: Patience
    data_rng: np.random.Generator
    records_train_score: bool = False
    records_gradient_flow: bool = False
    stops_early: bool = True
    criterion: Callable[[np.ndarray], float] | None = None
    compiles: bool = True
    held_out: np.ndarray | None = None
    headroom: float = 0.0
    epoch: int = 0
    n_updates: int = 0
    n_seen: int = 0
    diverged: bool = False
    finished: bool = False
    best: Network | None = field(default=None, repr=False)
    best_epoch: int = 0
    seeds: list[list[int]] = field(default_factory=list)
    _penalty: float = 0.0
    _skips: Skips | None = None
    _last: Network | None = field(default=None, repr=False)

    def state(self) -> dict[str, Any]:
        """What training continues from, beside the networks.

        Plain values, and arrays that are those of the training and not copied.
        """
        return {
            "optimizer": type(self.optimizer).__name__,
            "slots": self.network.slots(),
            "skips": None if self._skips is None else self._skips.state(),
            "learning_rate_factor": self.learning_rate.factor,
            "patience": {"best": self.patience.best, "count": self.patience.count},
            "evolution": self.evolution.state(),
            "data_rng": self.data_rng.bit_generator.state,
            "epoch": self.epoch,
            "n_updates": self.n_updates,
            "n_seen": self.n_seen,
            "headroom": self.headroom,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from the state of another training, of which nothing is shared.

        Its optimizer slots are taken over where optimizer and pattern are the same.
        """
        # Training writes to these arrays, which others may hold or nobody may write to.
        state = copied(state)
        if type(self.optimizer).__name__ == state["optimizer"]:
            self.network.take_slots(state["slots"])
            if state["skips"] is not None:
                self._skips = self._new_skips()
                self._skips.resume(state["skips"])
        self.learning_rate.factor = state["learning_rate_factor"]
        self.patience.best = state["patience"]["best"]
        self.patience.count = state["patience"]["count"]
        self.evolution.resume(state["evolution"])
        self.data_rng = stream_from(state["data_rng"])
        self.epoch, self.n_updates = state["epoch"], state["n_updates"]
        self.n_seen = state["n_seen"]
        self.headroom = state.get("headroom", 0.0)

    def run(
        self,
        samples: Samples,
        validation: Samples | None,
        workers: Workers,
        n_epochs: int,
        last: dict[str, Any] | None = None,
    ) -> Generator[dict[str, Any], None, None]:
        """Train for up to ``n_epochs`` epochs and yield the record of each.

        Evolution between epochs happens when the next record is asked for, and is
        entered in the last one: a consumer that stops leaves the network as trained.
        A run that was interrupted there goes on, for the epochs that are left, with its
        ``last`` record, which that evolution then enters.

        When a loss or a weight is no longer finite, the network is set back to the
        beginning of the epoch and ``diverged`` is set; an interrupt sets it back too.
        With ``validation``, the network ends as it was at its best validation score.
        While evolution chooses the number of inputs, `best` is the network of the lowest
        loss of these samples.
        """
        self.diverged = self.finished = False
        buffers = self.network.buffers(
            min(self.batch_size, samples.rows.size), training=True
        )
        evolve = partial(self._evolve, samples, buffers, workers)
        self.network.add_slots(self.optimizer.n_slots)
        program = self._program(samples, buffers)
        if last is None:
            self.best, self.best_epoch = None, 0
            self.evolution.attach(self.network)
        else:
            self.evolution.resume_epoch(self.epoch - 1, last)
        try:
            for remaining in reversed(range(n_epochs)):
                if last is not None and self.evolution.every is None:
                    self._remember()
                    evolve(last)
                self._begin_epoch(is_last=remaining == 0)
                self._remember()
                self._set_penalty(buffers.size, program)
                last = self._train_epoch(samples, buffers, workers, evolve, program)
                if self.diverged:
                    self._restore()
                    self._skips = None
                    self.finished = True
                    return
                self._last, self.evolution.record = None, last
                if self.records_gradient_flow:
                    some = observed(samples, self.batch_size)
                    flow = gradient_flow(self.network, some, buffers, workers)
                    last["effective_gradient_flow"] = float(flow.mean())
                plateau = self._note(last, samples, validation, workers)
                self.finished = plateau or remaining == 0
                yield last
                if self.finished:
                    return
        except KeyboardInterrupt:
            self._restore()
            raise
        finally:
            self._last = None
            if self.best is not None:
                self.network, self.best = self.best, None
                if self.evolution.chooses:
                    self.evolution.choose(self.network)

    def _note(
        self,
        record: dict[str, Any],
        samples: Samples,
        validation: Samples | None,
        workers: Workers,
    ) -> bool:
        """Judge an epoch, keep the network if it is the best; return if on a plateau."""
        judges = self.held_out is None or self.evolution.chooses
        judging = validation if judges else None
        progress = self._judge(record, samples, judging, workers)
        if self.evolution.note(record.get("validation_loss", math.inf)):
            self.best = self.network.copy()
        # While inputs leave, neither the best network nor a plateau is known.
        settled = not self.evolution.is_selecting
        is_best = settled and self.patience.update(progress)
        if is_best and judging is not None and self.stops_early:
            self.best, self.best_epoch = self.network.copy(), self.epoch
        return self.patience.is_exhausted() and self.learning_rate.on_plateau()

    def _remember(self) -> None:
        """Keep a copy of the network, as it is sound."""
        # Never two: each takes a fifth of the memory of the training.
        self._last = None
        self._last = self.network.copy()

    def _restore(self) -> None:
        """Set the network back to the kept copy; without one it is sound itself."""
        if self._last is not None:
            self.network = self._last

    def _begin_epoch(self, *, is_last: bool) -> None:
        """Set the epoch's zeta; have skips if they are wanted and evolution follows."""
        self.evolution.begin_epoch(self.epoch)
        every = self.evolution.every
        evolves = self.evolution.zeta > 0 and (every is not None or not is_last)
        if "skips" not in self.evolution.signals or not evolves:
            self._skips = None
        elif self._skips is None:
            self._skips = self._new_skips()

    def _penalty_of(self, batch_size: int) -> float:
        """Strength of the L2 penalty in this epoch.

        What competing inputs are told apart by is how much of their weights survives. A
        penalty that grows with what the network has learned takes most of the rest away,
        and cannot take everything: where nothing is learned, there is none.
        """
        if not self.evolution.is_selecting:
            return self.alpha
        return max(self.alpha, COMPETING * batch_size * self.headroom)

    def _set_penalty(self, batch_size: int, program: Program | None) -> None:
        self._penalty = self._penalty_of(batch_size)
        if program is not None:
            program.take_alpha(self._penalty)

    def _look_back(self, samples: Samples, loss: float) -> None:
        """See how much the network has learned, for the penalty of the next epoch."""
        if not self.evolution.is_selecting:
            return
        rows = samples.rows
        baseline = self.network.loss.baseline(samples.y[rows], samples.weights[rows])
        self.headroom = max(0.0, baseline - loss) if math.isfinite(loss) else 0.0

    def _seen(self, samples: Samples) -> Samples:
        """Those of the samples from which the network learns now."""
        if self.held_out is None or not self.evolution.chooses:
            return samples
        rows = samples.rows[~np.isin(samples.rows, self.held_out)]
        return replace(samples, rows=rows)

    def _new_skips(self) -> Skips:
        """Shortcuts beside the layers whose growth rules learn from them."""
        depths = range(len(self.network.layers))
        wanted = [k for k in depths if self.evolution.growth_of(k).signal == "skips"]
        return Skips(self.network, self.optimizer.n_slots, wanted)

    def _judge(
        self,
        record: dict[str, Any],
        samples: Samples,
        validation: Samples | None,
        workers: Workers,
    ) -> float:
        """Enter the scores in the record; return what training should raise."""
        if self.records_train_score:
            record["train_score"] = self._score(samples, workers)
        # Improvements are those of losses whatever the units of targets are.
        loss: float = record["loss"] / self.network.loss.unit
        if validation is None:
            return -loss
        progress = self._validate(record, validation, workers)
        return progress if self.stops_early else -loss

    def _validate(
        self, record: dict[str, Any], validation: Samples, workers: Workers
    ) -> float:
        """Enter loss and score of the validation samples; return what counts of them."""
        rows, loss = validation.rows, self.network.loss
        y, weights = validation.y[rows], validation.weights[rows]
        logits = self.network.logits(validation.X, rows, workers)
        predictions = loss.predictions(logits)
        losses = loss.losses_of(y, loss.seen_of(y, predictions))
        mean = float(np.average(losses, weights=weights))
        record["validation_loss"] = loss.unit * mean
        if self.criterion is None:
            record["validation_score"] = loss.score(y, loss.predict(logits), weights)
            return -mean
        record["validation_score"] = score = self.criterion(predictions)
        return score

    def _train_epoch(
        self,
        samples: Samples,
        buffers: Batch,
        workers: Workers,
        evolve: Callable[[dict[str, Any]], None],
        program: Program | None,
    ) -> dict[str, Any]:
        started = time.perf_counter()
        rate = self.learning_rate(self.epoch, self.n_epochs, self.n_seen)
        record: dict[str, Any] = {"epoch": self.epoch, "loss": math.nan}
        record |= {"zeta": self.evolution.zeta, "n_pruned": 0, "n_grown": 0}
        record |= {"turnover": 0.0, "evolution_seconds": 0.0}
        samples = self._seen(samples)
        rows = self.data_rng.permutation(samples.rows) if self.shuffle else samples.rows
        if self.network.is_normed and rows.size % self.batch_size == 1:
            # A single sample has no moments to be normalised by.
            rows = rows[: max(rows.size - 1, 1)]
        loss, penalty = self._train_rows(
            samples, rows, rate, buffers, workers, partial(evolve, record), program
        )
        self.epoch += 1
        for unit in self.network.hidden:
            unit.end_epoch(self.optimizer, rate, self.epoch)
        size = (rows.size - 1) % buffers.size + 1
        self.diverged = not (
            math.isfinite(loss)
            and (
                (program is not None and program.is_surely_sound())
                or self._is_sound(buffers, size, workers)
            )
        )
        self.n_seen += rows.size
        scale = self.network.loss.unit
        record["loss"] = scale * (loss / rows.size)
        record["data_loss"] = scale * ((loss - penalty) / rows.size)
        self._look_back(samples, (loss - penalty) / rows.size)
        record |= {"learning_rate": rate, "slopes": self.network.slopes()}
        record |= {"n_connections": self.network.n_connections}
        record |= {"n_inputs": int(np.count_nonzero(self.network.layers[0].fan_out))}
        record["seconds"] = time.perf_counter() - started
        return record

    def _train_rows(
        self,
        samples: Samples,
        rows: np.ndarray,
        rate: float,
        buffers: Batch,
        workers: Workers,
        evolve: Callable[[], None],
        program: Program | None,
    ) -> tuple[float, float]:
        """Train on rows in this order; return the sums of their losses and penalties."""
        mean_weight = samples.mean_weight() if program is None else math.nan
        loss, penalty, first = 0.0, 0.0, 0
        while first < rows.size and math.isfinite(loss):
            if self.evolution.is_due(self.n_updates):
                evolve()
            n_updates = 1 if program is None else program.n_updates_of_a_call()
            n_updates = self.evolution.n_updates_until_due(self.n_updates, n_updates)
            chunk = rows[first : first + n_updates * buffers.size]
            first += chunk.size
            if program is None:
                batch = buffers if chunk.size == buffers.size else buffers.first(chunk.size)
                scale = 1 / (chunk.size * mean_weight)
                update = self._update(samples, chunk, batch, rate, scale, workers)
                loss += chunk.size * update[0]
                penalty += chunk.size * update[1]
            else:
                # Epochs without shortcuts run the code of the others: one is compiled.
                has_skips = "skips" in self.evolution.signals
                draw = partial(self._draw_skips, rate) if has_skips else None
                n_done, loss, added = program.run(
                    chunk, rate, self.n_updates, loss, self.data_rng, workers,
                    self._skips, draw,
                )  # fmt: skip
                self.n_updates += n_done
                penalty += added
        return loss, penalty

    def _draw_skips(self, rate: float, k: int) -> np.ndarray:
        """Which shortcuts take part in the k-th update from now, by their rates."""
        skips, growth_of = self._skips, self.evolution.growth_of
        rates = np.full(len(self.network.layers), -1.0)
        if skips is not None:
            skips.draw(lambda depth: growth_of(depth).skip_dropout, self.data_rng)
            for depth in skips.used:
                own = growth_of(depth).learning_rate_factor * rate
                (rates[depth],) = self.optimizer.rates(own, skips.n_updates + k, 1)
        return rates

    def _program(self, samples: Samples, buffers: Batch) -> Program | None:
        if not self.compiles:
            return None
        return Program.of(
            self.network, buffers, samples, self.optimizer, self.alpha, self.dropout
        )

    def _update(
        self,
        samples: Samples,
        rows: np.ndarray,
        batch: Batch,
        rate: float,
        scale: float,
        workers: Workers,
    ) -> tuple[float, float]:
        """One optimizer step; return the batch's mean loss and penalty before it."""
        network, mask, skips = self.network, self._draw_mask(), self._skips
        squares, growth_of = np.zeros(len(network.layers)), self.evolution.growth_of
        if skips is not None:
            skips.draw(lambda k: growth_of(k).skip_dropout, self.data_rng)

        def update(member: Member) -> None:
            self._sum_squares(squares, member)
            fill_inputs(samples, rows, batch, member)
            network.forward(batch, member, training=True, mask=mask)
            if skips is not None:
                skips.forward(batch, *member.share(network.sizes[-1]))
                member.wait()
            differentiate_loss(network, samples, rows, batch, member)
            network.backward(batch, member, mask, skips)
            self._step_layers(batch, rate, scale, member)

        network.prepare()
        workers.run(update, 3 * network.work(batch.size))
        with np.errstate(over="ignore", invalid="ignore"):
            penalty = 0.5 * self._penalty * kernels.sum_in_order(squares)
            loss = float(kernels.sum_in_order(batch.losses) + penalty)
        if not math.isfinite(loss):
            return math.nan, math.nan
        self.n_updates += 1
        if skips is not None:
            skips.step(
                batch, self.optimizer, lambda k: growth_of(k).learning_rate_factor * rate,
                scale,
            )  # fmt: skip
        for unit in network.hidden:
            unit.step(self.optimizer, rate, self.n_updates, scale)
        return loss * scale, float(penalty) * scale

    def _sum_squares(self, squares: np.ndarray, member: Member) -> None:
        """Enter the sums of squares of this thread's layers, for the penalty."""
        if self._penalty == 0:
            return
        for depth in range(member.rank, squares.size, member.n_threads):
            squares[depth] = kernels.sum_of_squares(self.network.layers[depth].weights)

    def _step_layers(self, batch: Batch, rate: float, scale: float, member: Member) -> None:
        """Let the weights and biases of this thread's rows follow their gradient."""
        for depth, layer in enumerate(self.network.layers):
            step = self.optimizer.step(
                layer, batch.inputs(depth), batch.dz[depth],
                rate, self.n_updates + 1, self._penalty, scale,
            )  # fmt: skip
            step(*member.part(layer.shares(member.n_threads)))

    def _is_sound(self, buffers: Batch, size: int, workers: Workers) -> bool:
        """Whether the weights are finite and give finite outputs for the last batch."""
        if not self.network.is_finite():
            return False
        batch = buffers if size == buffers.size else buffers.first(size)
        work = self.network.work(batch.size)
        workers.run(lambda member: self.network.forward(batch, member), work)
        return bool(np.isfinite(batch.z[-1]).all())

    def _draw_mask(self) -> Mask | None:
        """Dropout for one batch: a function of (depth, activations, start, stop)."""
        if self.dropout == 0:
            return None
        dropout = Dropout(self.dropout)
        keys = self.data_rng.integers(2**32, size=len(self.network.hidden)).tolist()
        return lambda depth, a, start, stop: dropout(a, keys[depth], start, stop)

    def _evolve(
        self, samples: Samples, buffers: Batch, workers: Workers, record: dict[str, Any]
    ) -> None:
        """Evolve the topology and enter the turnover in the record."""
        started = time.perf_counter()
        if self.evolution.is_choice_due:
            self._choose()
        signal = self._signal(self._seen(samples), buffers, workers)
        n_pruned, n_grown = self.evolution.evolve(self.network, signal)
        if self._skips is not None:
            self._skips = self._new_skips()
        record["n_pruned"] += n_pruned
        record["n_grown"] += n_grown
        record["turnover"] += n_grown / max(self.network.n_connections, 1)
        record["evolution_seconds"] += time.perf_counter() - started

    def _choose(self) -> None:
        """Go back to the network of the lowest loss of the samples that choose."""
        if self.best is not None:
            self.network.become(self.best)
            self.network.add_slots(self.optimizer.n_slots)
            self.best = None
        self.evolution.choose(self.network)

    def _signal(
        self, samples: Samples, buffers: Batch, workers: Workers
    ) -> Callable[[int], Any]:
        """What growth rules want to know, as a function of the layer's depth."""

        @cache
        def passed() -> Batch:
            # Only once a layer is about to grow: that is after neurons left.
            return self._pass(samples, buffers, workers)

        def signal(depth: int) -> Any:
            kind = self.evolution.growth_of(depth).signal
            if kind == "gradient":
                return passed().inputs(depth), passed().dz[depth]
            if kind == "activations":
                return passed().activations(depth), passed().activations(depth + 1)
            if kind == "skips" and self._skips is not None:
                return self._skips.strengths(depth)
            return None

        return signal

    def _pass(self, samples: Samples, buffers: Batch, workers: Workers) -> Batch:
        """The buffers after a batch of samples passed the network without dropout."""
        backward = "gradient" in self.evolution.signals
        rows = self.evolution.rng.choice(samples.rows, buffers.size, replace=False)
        # Copies of the hidden units spare the moving averages of their moments.
        hidden = [unit.copy() for unit in self.network.hidden]
        network = Network(self.network.layers, hidden, self.network.loss)

        def differentiate(member: Member) -> None:
            fill_inputs(samples, rows, buffers, member)
            network.forward(buffers, member, training=True)
            if backward:
                differentiate_loss(network, samples, rows, buffers, member)
                network.backward(buffers, member)

        network.prepare()
        workers.run(differentiate, 2 * network.work(buffers.size))
        return buffers

    def _score(self, samples: Samples, workers: Workers) -> float:
        rows, loss = samples.rows, self.network.loss
        predicted = loss.predict(self.network.logits(samples.X, rows, workers))
        return loss.score(samples.y[rows], predicted, samples.weights[rows])


@dataclass
class Run:
    """A training and its samples: what a fit in progress consists of.

    Attributes
    ----------
    training : Training
    given : Samples
        All of them, as they were given.
    samples, validation : Samples
        What the network learns from, and None or what is set apart.
    whole : Samples or None
        What a new network learns from once the best epoch is known; None without one.
    """

    training: Training
    given: Samples
    samples: Samples
    validation: Samples | None = None
    whole: Samples | None = None

    @property
    def is_split(self) -> bool:
        """Whether the validation samples are some of those given to learn from."""
        return self.validation is not None and self.validation.X is self.given.X
