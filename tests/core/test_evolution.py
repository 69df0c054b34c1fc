"""The plan of a topology: when it evolves, which neurons leave, what each layer keeps."""

import warnings

import numpy as np
import pytest
from networks import new_evolution, new_network

from sksparse_mlp.core.evolution import SELECTION_END, SELECTION_START
from sksparse_mlp.schedules import Constant
from sksparse_mlp.topology import ImportancePruning, RandomGrowth

N_IN = 30


def wide_network(epsilon=2):
    """Sparse layers of 30, 20, 15 and 3 neurons."""
    return new_network("tanh", epsilon=epsilon, n_inputs=N_IN, hidden_sizes=(20, 15))


def nothing(depth):
    """The signal of growth rules that want to know nothing."""


def each_epoch(evolution, network, n_epochs=None):
    """Weights change, then the topology evolves; yields (epoch, before, counts)."""
    rng = np.random.default_rng(4)
    n_epochs = evolution.n_epochs if n_epochs is None else n_epochs
    evolution.attach(network)
    for epoch in range(n_epochs - 1):
        evolution.begin_epoch(epoch)
        for layer in network.layers:
            layer.weights += rng.standard_normal(layer.n_connections)
        before = network.copy()
        yield epoch, before, evolution.evolve(network, nothing)


def sizes_of(network):
    return [layer.n_connections for layer in network.layers]


def rows_of(layer):
    return np.repeat(np.arange(layer.n_out), layer.fan_in)


def touching(evolution, network, depth):
    """Connections of a layer from or to neurons that left, as a mask."""
    layer = network.layers[depth]
    from_alive = np.isin(layer.indices, evolution.alive[depth])
    return ~(from_alive & np.isin(rows_of(layer), evolution.alive[depth + 1]))


def assert_only_alive_are_linked(evolution, network):
    for depth in range(len(network.layers)):
        assert not touching(evolution, network, depth).any()


class SpyingGrowth(RandomGrowth):
    """Keeps the layers and signals that it gets."""

    def __init__(self, signal):
        self.signal = signal
        self.scale = 0.0
        self.seen = []

    def evolve(self, layer, zeta, rng, signal=None, n_connections=None):
        self.seen.append((layer, zeta, signal, n_connections))
        return super().evolve(layer, zeta, rng, signal, n_connections)


# --- when -----------------------------------------------------------------------------


def zetas(until, n_epochs=10, n_run=13):
    def schedule(epoch, n):
        assert n == n_epochs
        return (epoch + 1) / 100

    evolution = new_evolution(zeta_schedule=schedule, n_epochs=n_epochs, until=until)
    found = []
    for epoch in range(n_run):
        evolution.begin_epoch(epoch)
        assert evolution.epoch == epoch
        found.append(round(100 * evolution.zeta))
    return found


def test_zeta_follows_its_schedule_and_stays_after_the_last_epoch():
    assert zetas(until=1.0) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10]


@pytest.mark.parametrize(
    ("until", "n_evolving"), [(0.9, 9), (0.5, 5), (0.25, 3), (0.1, 1), (0.01, 1)]
)
def test_zeta_is_zero_once_the_share_of_the_epochs_is_over(until, n_evolving):
    expected = [*range(1, n_evolving + 1), *[0] * (13 - n_evolving)]
    assert zetas(until) == expected


@pytest.mark.parametrize(
    ("every", "due"), [(None, []), (1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6]), (9, [])]
)
def test_evolution_is_due_after_every_so_many_updates(every, due):
    evolution = new_evolution(every=every)
    assert [n for n in range(8) if evolution.is_due(n)] == due


# --- how many connections -------------------------------------------------------------


@pytest.mark.parametrize("zeta", [0.0, 0.3, 0.9])
def test_every_layer_keeps_its_number_of_connections(zeta):
    network = wide_network()
    expected = sizes_of(network)
    evolution = new_evolution(zeta_schedule=Constant(zeta), n_epochs=6)
    for _, before, (n_pruned, n_grown) in each_epoch(evolution, network):
        assert sizes_of(network) == expected
        assert n_pruned == n_grown
        # One rounding for each sign of the three layers.
        assert abs(n_grown - zeta * sum(expected)) <= 3
        for layer, old in zip(network.layers, before.layers, strict=True):
            assert layer.has_pattern_of(old) == (zeta == 0)


def test_full_layers_and_a_zeta_of_zero_ask_for_no_signal():
    network = wide_network()
    keep = np.ones(network.layers[1].n_connections, bool)
    n_free = 20 * 15 - network.layers[1].n_connections
    network.layers[1].rewire(keep, np.arange(n_free))
    evolution, asked = new_evolution(), []
    evolution.attach(network)
    for zeta in (0.0, 0.3):
        evolution.zeta = zeta
        evolution.evolve(network, asked.append)
    assert asked == [0, 2]


# --- what growth rules see ------------------------------------------------------------


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("kind", ["skips", "gradient", None])
def test_growth_rule_sees_the_neurons_in_the_network_only(kind, dead):
    network, growth = wide_network(), SpyingGrowth(kind)
    evolution = new_evolution(growth=growth)
    evolution.attach(network)
    if dead:
        evolution.alive[0] = np.array([0, 3, 4, 8, 29])
        evolution.alive[1] = np.arange(2, 19)
        for depth in (0, 1):
            evolution._drop_dead(network, depth)
    evolution.zeta = 0.3
    sizes = [30, 20, 15, 3]
    of_neurons = [100.0 * k + np.arange(n)[:, np.newaxis] for k, n in enumerate(sizes)]
    signals = {
        "skips": lambda depth: of_neurons[depth][:, 0],
        "gradient": lambda depth: (of_neurons[depth], -of_neurons[depth + 1]),
        None: nothing,
    }
    evolution.evolve(network, signals[kind])
    alive = evolution.alive
    assert [seen[0].n_in for seen in growth.seen] == [n.size for n in alive[:-1]]
    assert [seen[0].n_out for seen in growth.seen] == [n.size for n in alive[1:]]
    assert [n for *_, n in growth.seen] == evolution.n_connections
    for depth, (_, zeta, signal, _) in enumerate(growth.seen):
        assert zeta == 0.3
        if kind == "skips":
            np.testing.assert_array_equal(signal, 100 * depth + alive[depth])
        if kind == "gradient":
            x, dz = signal
            np.testing.assert_array_equal(x[:, 0], 100 * depth + alive[depth])
            np.testing.assert_array_equal(-dz[:, 0], 100 * (depth + 1) + alive[depth + 1])
            assert x.flags.c_contiguous
            assert dz.flags.c_contiguous


# --- the inputs that remain -----------------------------------------------------------


def test_inputs_leave_fast_at_first_and_more_slowly_later():
    evolution = new_evolution(n_epochs=40, n_inputs=3)
    counts = [evolution.alive[0].size for _ in each_epoch(evolution, wide_network())]
    # 3 + 27 * (5/6, 4/6, .. 0)^3 from the evolution after the epoch 10 on.
    assert counts == [30] * 10 + [19, 11, 6, 4] + [3] * 25


@pytest.mark.parametrize("n_epochs", [20, 100, 200])
@pytest.mark.parametrize("n_inputs", [1, 10, 29])
def test_number_of_inputs_is_cubic_in_the_rest_of_the_selection(n_epochs, n_inputs):
    evolution = new_evolution(n_epochs=n_epochs, n_inputs=n_inputs)
    start, end = round(SELECTION_START * n_epochs), round(SELECTION_END * n_epochs)
    for epoch, _, _ in each_epoch(evolution, wide_network()):
        rest = np.interp(epoch + 1, [start, end], [1, 0])
        expected = n_inputs + (N_IN - n_inputs) * rest**3
        assert abs(evolution.alive[0].size - expected) <= 0.5 + 1e-9
        assert evolution.is_selecting == (evolution.alive[0].size > n_inputs)


def test_layer_without_connections_to_neurons_that_left_stays_as_it_is():
    network = wide_network()
    evolution = new_evolution(n_inputs=3)
    evolution.attach(network)
    layer = network.layers[0]
    pattern, transposed = layer.indices, layer.transposed
    assert evolution._drop_dead(network, 0) == 0
    assert layer.indices is pattern
    assert layer.transposed is transposed
    evolution.alive[0] = np.arange(20)
    expected = np.sum(layer.indices >= 20)
    assert evolution._drop_dead(network, 0) == expected > 0
    np.testing.assert_array_equal(layer.indices < 20, True)


class Measuring(RandomGrowth):
    """Notes whether the transposed pattern is still there before a layer evolves."""

    def __init__(self, layer):
        self.layer, self.scale = layer, 0.0
        self.found = []

    def evolve(self, *arguments):
        self.found.append(self.layer._transposed is not None)
        return super().evolve(*arguments)


def test_layer_whose_part_evolves_gives_its_transposed_pattern_back_before():
    network = wide_network()
    layer = network.layers[0]
    growth = Measuring(layer)
    evolution = new_evolution(growth=growth)
    evolution.attach(network)
    evolution.alive[0] = np.arange(20)
    evolution._drop_dead(network, 0)
    layer.transposed  # noqa: B018, it is computed when asked for
    evolution.zeta = 0.3
    evolution.evolve(network, nothing)
    assert growth.found == [False] * 3


def test_inputs_are_counted_only_where_they_are_selected(monkeypatch):
    network, asked = wide_network(), []
    layer = network.layers[0]
    fan_out = property(lambda self: asked.append(self) or np.ones(self.n_in, int))
    monkeypatch.setattr(type(layer), "fan_out", fan_out)
    new_evolution().attach(network)
    assert not asked
    new_evolution(n_inputs=3).attach(network)
    assert asked == [layer]


@pytest.mark.parametrize("zeta", [0.0, 0.3])
@pytest.mark.parametrize("n_inputs", [1, 3, 10, 30])
def test_weakest_inputs_leave_for_good_and_their_connections_move(n_inputs, zeta):
    network = wide_network()
    n_connections = sizes_of(network)
    plan = {"zeta_schedule": Constant(zeta), "n_epochs": 40, "n_inputs": n_inputs}
    evolution = new_evolution(**plan)
    alive = np.arange(N_IN)
    for _, before, (n_pruned, n_grown) in each_epoch(evolution, network):
        strengths = before.input_strengths()
        remaining = evolution.alive[0]
        assert np.all(np.diff(remaining) > 0)
        assert np.isin(remaining, alive).all()
        gone = np.setdiff1d(alive, remaining)
        assert strengths[remaining].min() >= strengths[gone].max(initial=0)
        alive = remaining
        assert_only_alive_are_linked(evolution, network)
        expected = min(n_connections[0], alive.size * 20)
        assert sizes_of(network) == [expected, *n_connections[1:]]
        change = sum(sizes_of(network)) - sum(sizes_of(before))
        assert n_grown - n_pruned == change
    assert alive.size == n_inputs


@pytest.mark.parametrize("until", [1.0, 0.3, 0.1])
@pytest.mark.parametrize("n_epochs", [2, 3, 4, 5, 8, 100])
def test_selection_is_over_in_time(n_epochs, until):
    evolution = new_evolution(n_epochs=n_epochs, n_inputs=4, until=until)
    counts = [evolution.alive[0].size for _ in each_epoch(evolution, wide_network())]
    assert counts == sorted(counts, reverse=True)
    n_needed = max(1, int(min(until, SELECTION_END) * n_epochs))
    assert counts[n_needed - 1 :] == [4] * (n_epochs - n_needed)


@pytest.mark.parametrize("n_epochs", [1, 2, 3])
def test_selection_between_updates_needs_no_second_epoch(n_epochs):
    network, evolution = wide_network(), new_evolution(n_epochs=n_epochs, n_inputs=4)
    evolution.attach(network)
    evolution.begin_epoch(0)
    evolution.evolve(network, nothing)
    assert evolution.alive[0].size == 4
    evolution.evolve(network, nothing)
    assert evolution.alive[0].size == 4
    assert_only_alive_are_linked(evolution, network)


def test_without_selection_all_inputs_remain():
    evolution = new_evolution(n_epochs=20)
    for _ in each_epoch(evolution, wide_network()):
        assert not evolution.is_selecting
        assert evolution.alive[0].size == N_IN


# --- hidden neurons that leave --------------------------------------------------------


def new_pruning(share=0.25, zeta=0.3, **changes):
    """Neurons leave after the epochs 5 and 7 of 10."""
    pruning = ImportancePruning(share=share, start=0.5, every=2)
    plan = {"pruning": pruning, "zeta_schedule": Constant(zeta), "n_epochs": 10}
    return new_evolution(**(plan | changes))


def test_share_of_the_remaining_neurons_leaves_at_a_time():
    evolution = new_pruning()
    found = [
        [neurons.size for neurons in evolution.alive]
        for _ in each_epoch(evolution, wide_network())
    ]
    few = [[30, 20, 15, 3]] * 5
    assert found == [*few, *[[30, 15, 11, 3]] * 2, *[[30, 11, 8, 3]] * 2]


@pytest.mark.parametrize("epsilon", [1, 2, 1e6])
@pytest.mark.parametrize("zeta", [0.0, 0.3])
@pytest.mark.filterwarnings("ignore:No connection can grow")
def test_weakest_neurons_leave_with_their_connections_for_good(zeta, epsilon):
    network, evolution = wide_network(epsilon), new_pruning(zeta=zeta)
    alive, budget = [np.arange(n) for n in network.sizes], sizes_of(network)
    for _, before, (n_pruned, n_grown) in each_epoch(evolution, network):
        for depth in (1, 2):
            strengths = before.layers[depth - 1].output_strengths()
            gone = np.setdiff1d(alive[depth], evolution.alive[depth])
            left = evolution.alive[depth]
            assert strengths[left].min() >= strengths[gone].max(initial=0)
            assert np.isin(left, alive[depth]).all()
        dropped = [touching(evolution, before, depth).sum() for depth in range(3)]
        budget = [size - n for size, n in zip(budget, dropped, strict=True)]
        alive = list(evolution.alive)
        assert_only_alive_are_linked(evolution, network)
        assert sizes_of(network) == evolution.n_connections == budget
        assert n_pruned - n_grown == sum(dropped)
        assert (n_grown == 0) == (zeta == 0 or epsilon == 1e6)
    assert budget < sizes_of(wide_network(epsilon))


def test_neurons_leave_once_per_epoch_however_often_the_topology_evolves():
    network, evolution = wide_network(), new_pruning(every=3)
    evolution.attach(network)
    counts = []
    for epoch in range(8):
        evolution.begin_epoch(epoch)
        for _ in range(3):
            evolution.evolve(network, nothing)
            counts.append(evolution.alive[1].size)
    assert counts == [20] * 15 + [15] * 6 + [11] * 3


def test_at_least_one_neuron_remains_in_each_layer():
    pruning = ImportancePruning(share=0.99, start=0.0, every=1)
    network, evolution = wide_network(), new_evolution(pruning=pruning, n_epochs=6)
    for _ in each_epoch(evolution, network):
        assert [neurons.size for neurons in evolution.alive] == [30, 1, 1, 3]
    assert_only_alive_are_linked(evolution, network)


def test_bias_and_slots_of_what_remains_stay():
    network, evolution = wide_network(), new_pruning(zeta=0.0)
    network.add_slots(1)
    biases = [layer.bias.copy() for layer in network.layers]
    for layer in network.layers:
        # The position of each connection, as its slot.
        positions = layer.positions(np.ones(layer.n_connections, bool))
        layer.slots[0][0][:] = positions
    for _ in each_epoch(evolution, network):
        for layer, bias in zip(network.layers, biases, strict=True):
            positions = layer.positions(np.ones(layer.n_connections, bool))
            np.testing.assert_array_equal(layer.slots[0][0], positions)
            np.testing.assert_array_equal(layer.bias, bias)
    assert network.n_connections < wide_network().n_connections


@pytest.mark.parametrize("zeta", [0.0, 0.3])
def test_neurons_leave_while_inputs_are_selected(zeta):
    pruning = ImportancePruning(share=0.1, start=0.2, every=1)
    evolution = new_pruning(zeta=zeta, pruning=pruning, n_inputs=4, n_epochs=20)
    network = wide_network()
    before = budget = sizes_of(network)
    for _, old, (n_pruned, n_grown) in each_epoch(evolution, network):
        assert_only_alive_are_linked(evolution, network)
        # What goes with hidden neurons is not replaced; what goes with inputs moves.
        to_dead = ~np.isin(rows_of(old.layers[0]), evolution.alive[1])
        dropped = [to_dead.sum(), *(touching(evolution, old, k).sum() for k in (1, 2))]
        budget = [size - n for size, n in zip(budget, dropped, strict=True)]
        assert evolution.n_connections == budget
        room = [
            a.size * b.size
            for a, b in zip(evolution.alive[:-1], evolution.alive[1:], strict=True)
        ]
        expected = np.minimum(evolution.n_connections, room).tolist()
        assert sizes_of(network) == expected
        assert n_pruned - n_grown == sum(before) - sum(expected)
        before = expected
    assert evolution.alive[0].size == 4
    assert evolution.alive[1].size < 20


# --- full networks --------------------------------------------------------------------


def warnings_of(epsilon, zeta):
    network = wide_network(epsilon)
    evolution = new_evolution(zeta_schedule=Constant(zeta))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _, before, counts in each_epoch(evolution, network):
            if epsilon == 1e6:
                assert counts == (0, 0)
                assert sizes_of(network) == sizes_of(before)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("epsilon", "zeta", "n_warnings"), [(1e6, 0.3, 1), (1e6, 0.0, 0), (2, 0.3, 0)]
)
def test_network_without_room_says_so_once(epsilon, zeta, n_warnings):
    messages = warnings_of(epsilon, zeta)
    assert len(messages) == n_warnings
    assert all("every layer is full" in message for message in messages)


def test_one_layer_with_room_is_room_enough():
    network = wide_network(epsilon=1e6)
    keep = np.arange(network.layers[1].n_connections) > 0
    network.layers[1].rewire(keep, np.empty(0, np.int64))
    for _, _, (n_pruned, _) in each_epoch(new_evolution(), network):
        assert n_pruned > 0


# --- continuing -----------------------------------------------------------------------


def without_neurons():
    """(network, dead, loose): only the first 4 inputs feed it; two neurons feed nothing.

    The neuron ``dead`` has no incoming connections either, and ``loose`` has some.
    """
    network = wide_network()
    first, second, _ = network.layers
    first.rewire(first.indices < 4, np.empty(0, np.int64))
    dead, *_, loose = np.unique(rows_of(first))
    first.rewire(rows_of(first) != dead, np.empty(0, np.int64))
    second.rewire(~np.isin(second.indices, [dead, loose]), np.empty(0, np.int64))
    assert np.unique(first.indices).size == 4
    return network, dead, loose


@pytest.mark.parametrize("n_inputs", [None, 3, 4, 5])
@pytest.mark.parametrize("prunes", [False, True])
def test_neurons_without_connections_have_left_a_network_trained_before(n_inputs, prunes):
    network, dead, loose = without_neurons()
    pruning = ImportancePruning() if prunes else None
    evolution = new_evolution(n_inputs=n_inputs, pruning=pruning)
    evolution.attach(network)
    inputs, neurons, _, outputs = evolution.alive
    # Another number of inputs was not selected by this plan.
    np.testing.assert_array_equal(inputs, np.arange(4 if n_inputs == 4 else N_IN))
    assert (dead in neurons) != prunes
    assert loose in neurons
    assert prunes or neurons.size == 20
    np.testing.assert_array_equal(outputs, np.arange(3))
    assert evolution.n_connections == sizes_of(network)


def test_resumed_evolution_continues_the_stream_and_the_neurons():
    previous = new_pruning(n_inputs=4)
    network = wide_network()
    for _ in each_epoch(previous, network):
        pass
    evolution = new_pruning(n_inputs=4, rng=np.random.default_rng(99))
    evolution.resume(previous.state())
    evolution.attach(network)
    assert evolution.rng.bit_generator.state == previous.rng.bit_generator.state
    assert evolution.n_connections == sizes_of(network)
    for neurons, expected in zip(evolution.alive, previous.alive, strict=True):
        np.testing.assert_array_equal(neurons, expected)
    evolution.begin_epoch(3)
    evolution.evolve(network, nothing)
    assert_only_alive_are_linked(previous, network)


def test_resumed_evolution_continues_as_if_never_interrupted():
    networks, plans = [wide_network(), wide_network()], []
    for network, stops in zip(networks, [(), (1, 3, 6)], strict=True):
        evolution = new_pruning(n_epochs=10)
        evolution.attach(network)
        for epoch in range(9):
            if epoch in stops:
                previous, evolution = evolution, new_pruning(rng=None)
                evolution.resume(previous.state())
                evolution.attach(network)
            evolution.begin_epoch(epoch)
            evolution.evolve(network, nothing)
        plans.append(evolution)
    for layer, twin in zip(networks[0].layers, networks[1].layers, strict=True):
        assert layer.has_pattern_of(twin)
        np.testing.assert_array_equal(layer.weights, twin.weights)
    assert plans[0].n_connections == plans[1].n_connections


def test_neurons_of_a_resumed_evolution_are_alive_without_connections():
    network, *_ = without_neurons()
    previous = new_pruning()
    previous.alive = [np.arange(n) for n in network.sizes]
    evolution = new_pruning()
    evolution.resume(previous.state())
    evolution.attach(network)
    assert evolution.alive[1].size == 20
