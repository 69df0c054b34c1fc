"""README and front page say what the committed results say."""

import json
import statistics

import pytest

pytest.importorskip("matplotlib")

from benchmarks import headline

RUN = "run: python -m benchmarks.headline"


@pytest.mark.parametrize("name", headline.PAGES)
def test_pages_are_in_step_with_the_results(name):
    assert headline.pages()[name] == (headline.ROOT / name).read_text("utf-8"), RUN


def test_figures_are_those_of_the_results():
    readme = (headline.ROOT / "README.md").read_text("utf-8")
    lines = " ".join(readme.split(headline.BEGIN)[1].split(headline.END)[0].split())
    cells = map(json.loads, headline.TABULAR.read_text("utf-8").splitlines())
    losses = [cell["log_loss"] for cell in cells if cell["model"] == headline.OURS]
    assert f"a log-loss of {statistics.mean(losses):.3f} and" in lines
    epochs = json.loads(headline.PEERS.read_text("utf-8"))["epochs"]
    (target,) = [row for row in epochs["targets"] if "wide 3072" in row["target"]]
    times = float(target["measured"].split()[0])
    assert f", {times:.0f} times as long" in lines


def test_a_change_of_the_results_is_noticed(monkeypatch, tmp_path):
    cells = headline.TABULAR.read_text("utf-8").replace(
        '"accuracy": 0.9', '"accuracy": 0.8'
    )
    monkeypatch.setattr(headline, "TABULAR", tmp_path / "results.jsonl")
    headline.TABULAR.write_text(cells, encoding="utf-8")
    for name, page in headline.pages().items():
        assert page != (headline.ROOT / name).read_text("utf-8")


def test_bars_are_the_figures():
    figure = headline.drawn()
    lengths = [[bar.get_width() for bar in ax.patches] for ax in figure.axes]
    means, _ = headline.tables()
    assert lengths[0] == means["log_loss"].tolist()
    assert lengths[1] == headline.programs()["seconds"].tolist()
    assert lengths[2] == (headline.programs()["bytes"] / 1e6).tolist()
