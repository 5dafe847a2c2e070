"""Stages on threads: one worker each, bounded queues between them, and no way to hang in silence.

A stage that raises ends the whole pipeline: every queue is closed, every worker leaves, and the caller gets one line
that names the stage. The end of the source travels through the queues like an item, so what is in flight comes out.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from lib.errors import BookError
from lib.runtime.stage import Report, Stage, check_names

_LAST = object()


class _Closed(Exception):
    """The pipeline is being taken down."""


class BoundedQueue:
    """A queue of at most `capacity` items with a stated policy; closing it wakes everybody up."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.items = stage, deque()
        self.changed, self.closed = threading.Condition(), False
        self.dropped = self.deepest = 0

    def put(self, item: Any) -> None:
        """Add an item as the policy says; the mark of the end always fits."""
        with self.changed:
            if item is not _LAST and len(self.items) >= self.stage.capacity and not self.closed:
                if self.stage.policy == "block":
                    self.changed.wait_for(lambda: self.closed or len(self.items) < self.stage.capacity)
                else:
                    self.dropped += 1
                    if self.stage.policy == "drop_newest":
                        return
                    self.items.popleft()
            if self.closed:
                raise _Closed
            self.items.append(item)
            self.deepest = max(self.deepest, sum(item is not _LAST for item in self.items))
            self.changed.notify_all()

    def get(self) -> Any:
        """The oldest item, waiting for one."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or self.items)
            if self.closed:
                raise _Closed
            item = self.items.popleft()
            self.changed.notify_all()
            return item

    def close(self) -> None:
        """Refuse everything from now on."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class Pipeline:
    """Runs stages on one thread each, from a source to a list of outputs. Used by chapter 02."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        check_names(stages)
        self.stages = tuple(stages)
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask the source to end, from any thread: what is in flight still comes out."""
        self._stop.set()

    def run(self, source: Iterable[Any]) -> Report:
        """Read the source to its end or to `stop`, and return when every worker has left.

        Raises BookError that names the stage (or the source) that failed, with the failure as its cause.
        """
        self._stop.clear()
        queues = [BoundedQueue(stage) for stage in self.stages]
        report, failures = Report(), []

        def guarded(name: str, job: Any) -> None:
            try:
                job()
            except _Closed:
                pass
            except BaseException as error:  # whatever ends a worker must be reported
                failures.append((name, error))
                for queue in queues:
                    queue.close()

        jobs = [("source", lambda: self._feed(source, queues[0]))]
        for place, stage in enumerate(self.stages):
            send = queues[place + 1].put if place + 1 < len(queues) else report.outputs.append
            jobs.append((stage.name, lambda stage=stage, queue=queues[place], send=send: _serve(stage, queue, send)))
        workers = [threading.Thread(target=guarded, args=job, name=job[0], daemon=True) for job in jobs]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        except BaseException:
            for queue in queues:
                queue.close()
            raise
        if failures:
            name, error = failures[0]
            raise BookError(f"stage {name!r} failed: {type(error).__name__}: {error}") from error
        if report.outputs and report.outputs[-1] is _LAST:
            report.outputs.pop()
        report.dropped = {queue.stage.name: queue.dropped for queue in queues}
        report.deepest = {queue.stage.name: queue.deepest for queue in queues}
        return report

    def _feed(self, source: Iterable[Any], queue: BoundedQueue) -> None:
        for item in source:
            if self._stop.is_set():
                break
            queue.put(item)
        queue.put(_LAST)


def _serve(stage: Stage, queue: BoundedQueue, send: Any) -> None:
    while (item := queue.get()) is not _LAST:
        for out in stage.work(item):
            send(out)
    for out in stage.finish():
        send(out)
    send(_LAST)
