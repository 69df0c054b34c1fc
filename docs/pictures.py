"""How large the gallery's pictures are: those of a paper's column would be small here."""

import matplotlib as mpl


def enlarge(gallery_conf, fname):
    """Called by sphinx-gallery before each program."""
    mpl.rcParams["figure.dpi"] = 160
