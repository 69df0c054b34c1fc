"""A callback that remembers; in a module of its own, so that it can be pickled."""


class Recorder:
    """Callback that keeps what it is told; stops training after ``stop_after`` epochs.

    Attributes
    ----------
    events : list of (hook, task name, task id)
    epochs : list of the fitted estimators at the ends of the epochs
    told : list of the keyword arguments at the ends of the epochs
    """

    def __init__(self, stop_after=None, interrupt_after=None):
        self.stop_after = stop_after
        self.interrupt_after = interrupt_after
        self.events, self.epochs, self.told, self.max_subtasks = [], [], [], None

    def setup(self, estimator, context):
        self.max_subtasks = context.max_subtasks

    def teardown(self, estimator, context):
        self.events.append(("teardown", context.task_name, context.task_id))

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.events.append(("end", context.task_name, context.task_id))
        if context.task_name != "epoch":
            return False
        self.epochs.append(fitted_estimator)
        self.told.append({"X": X, "y": y, "metadata": metadata})
        if len(self.epochs) == self.interrupt_after:
            raise KeyboardInterrupt
        return len(self.epochs) == self.stop_after
