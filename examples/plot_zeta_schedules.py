"""
Schedules of zeta
=================

After every epoch the topology evolves: a share *zeta* of the connections, the weakest, is
removed, and as many grow elsewhere. A schedule says how large this share is at every
epoch. The picture has all that are registered, with their defaults.
"""

# %%
# A schedule is a function of the epoch, counted from 0, and the number of epochs:

from sksparse_mlp.schedules import LinearDecreasing

LinearDecreasing(zeta_max=0.3, zeta_min=0.01)(epoch=0, n_epochs=100)

# %%
# Those that know the epoch alone, over 100 epochs; "loss" also asks for the training loss.
# ``zeta_schedule`` takes their names, instances such as the
# one above, or any function like these.

import matplotlib.pyplot as plt

from sksparse_mlp.schedules import ZETA_SCHEDULES

n_epochs = 100
planned = {
    name: schedule
    for name, schedule in ZETA_SCHEDULES.items()
    if not hasattr(schedule, "metric")
}
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for (name, schedule), style in zip(
    planned.items(), ["-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1))], strict=True
):
    zetas = [schedule()(epoch, n_epochs) for epoch in range(n_epochs)]
    ax.plot(zetas, linestyle=style, label=f'"{name}"')
ax.set(xlabel="epoch", ylabel="zeta (share of connections)", ylim=(0, None))
ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
