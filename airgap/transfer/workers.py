"""Threads that work off tasks, where a task may add further ones."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from airgap.run import Run

Task = Callable[[], None]


class Workers:
    """Runs tasks in a fixed number of threads until none is left or one fails.

    Args:
        count: How many threads.
        run: Checked before each task.
        ends: A wider run that a failure ends as well.

    The first exception ends the work: nothing new is begun, and tasks that look at `Workers.run`
    stop at their next check.

    Attributes:
        run: For the tasks: cancelled with the outer run, and when a task failed.
    """

    def __init__(self, count: int, *, run: Run, ends: Run | None = None) -> None:
        self._count = count
        self.run = run.scoped()
        self._ends = ends
        self._changed = threading.Condition()
        self._tasks: deque[Task] = deque()
        self._running = 0
        self._error: BaseException | None = None

    def add(self, task: Task) -> None:
        """Append a task; a running task may do this, too."""
        with self._changed:
            self._tasks.append(task)
            self._changed.notify()

    def finish(self, tasks: Iterable[Task] = ()) -> None:
        """Work until nothing is left.

        Raises:
            BaseException: What the first failing task raised.
        """
        self._tasks.extend(tasks)
        threads = [
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True)
            for number in range(self._count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (task := self._next()) is not None:
            error: BaseException | None = None
            try:
                self.run.cancel.check()
                task()
            except BaseException as caught:  # noqa: BLE001 - raised again by finish()
                error = caught
            with self._changed:
                self._running -= 1
                self._error = self._error or error
                self._changed.notify_all()
            # Only now: what stops because of this error must not be taken for the cause.
            if error is not None:
                self.run.cancel.cancel()
                if self._ends is not None:
                    self._ends.cancel.cancel()

    def _next(self) -> Task | None:
        with self._changed:
            while not self._tasks and self._running and self._error is None:
                self._changed.wait()
            if self._error is not None or not self._tasks:
                return None
            self._running += 1
            return self._tasks.popleft()
