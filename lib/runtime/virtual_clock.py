"""The same stages without threads, on a virtual clock: latency and drops under overload, the same on every machine.

One item of the source arrives per tick (a camera cannot be asked to wait), every stage works on one item at a time and
takes `cost(item)` ticks, and a full queue behaves as the stage's policy says. A stage whose successor blocks keeps its
results and does not start another item: that is back-pressure.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from lib.runtime.stage import Report, Stage, check_names

_LAST = object()


class _Station:
    """One stage during a replay: what waits, what it holds, whether it works."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.queue, self.results = stage, deque(), deque()
        self.busy, self.ended = False, False


class _Replay:
    def __init__(self, stages: Sequence[Stage]) -> None:
        check_names(stages)
        self.stations = [_Station(stage) for stage in stages]
        self.report = Report(dropped=dict.fromkeys(names(stages), 0), deepest=dict.fromkeys(names(stages), 0))
        self.now, self.order, self.agenda = 0.0, 0, []
        self.outside: deque[tuple[float, Any]] = deque()

    def run(self, source: Iterable[Any]) -> Report:
        count = 0
        for count, item in enumerate(source, start=1):
            self._at(count - 1, lambda item=item, tick=count - 1: self._arrive(tick, item))
        self._at(count, lambda: self._arrive(count, _LAST))
        while self.agenda:
            self.now, _, action = heapq.heappop(self.agenda)
            action()
        return self.report

    def _at(self, time: float, action: Any) -> None:
        self.order += 1
        heapq.heappush(self.agenda, (time, self.order, action))

    def _arrive(self, tick: float, item: Any) -> None:
        self.outside.append((tick, item))
        self._admit()
        self.report.waited = max(self.report.waited, sum(item is not _LAST for _, item in self.outside))

    def _admit(self) -> None:
        while self.outside and self._takes(0, self.outside[0]):
            self._hand(0, self.outside.popleft())

    def _takes(self, place: int, item: tuple[float, Any]) -> bool:
        """Whether a station, or what lies past the last one, takes the item now, be it to drop one."""
        if place == len(self.stations) or item[1] is _LAST:
            return True
        station = self.stations[place]
        return station.stage.policy != "block" or len(station.queue) < station.stage.capacity

    def _hand(self, place: int, item: tuple[float, Any]) -> None:
        """Hand an item to a station, or past the last one."""
        if place == len(self.stations):
            if item[1] is not _LAST:
                self.report.outputs.append(item[1])
                self.report.latencies.append(self.now - item[0])
            return
        station = self.stations[place]
        stage, queue = station.stage, station.queue
        if item[1] is not _LAST and len(queue) >= stage.capacity:
            self.report.dropped[stage.name] += 1
            if stage.policy == "drop_newest":
                return
            queue.popleft()
        queue.append(item)
        self._start(place)
        waiting = sum(item is not _LAST for _, item in queue)
        self.report.deepest[stage.name] = max(self.report.deepest[stage.name], waiting)

    def _start(self, place: int) -> None:
        station = self.stations[place]
        if station.busy or station.results or not station.queue:
            return
        station.busy = True
        origin, item = station.queue.popleft()
        cost = 0.0 if item is _LAST else station.stage.cost(item)
        self._at(self.now + cost, lambda: self._done(place, origin, item))
        if place == 0:
            self._admit()
        else:
            self._pass_on(place - 1)

    def _done(self, place: int, origin: float, item: Any) -> None:
        station = self.stations[place]
        station.busy = False
        values = [*station.stage.finish(), _LAST] if item is _LAST else station.stage.work(item)
        station.results.extend((origin, value) for value in values)
        self._pass_on(place)

    def _pass_on(self, place: int) -> None:
        station = self.stations[place]
        while station.results and self._takes(place + 1, station.results[0]):
            self._hand(place + 1, station.results.popleft())
        self._start(place)


def names(stages: Sequence[Stage]) -> list[str]:
    """The names of the stages, in order."""
    return [stage.name for stage in stages]


def replay(stages: Sequence[Stage], source: Iterable[Any]) -> Report:
    """Run the stages over a source on a virtual clock; latencies are in ticks, which are frames at the camera's rate.

    Without overload (every stage keeps up, or every policy is "block") the outputs are those of `Pipeline`.
    Raises what a stage raises. Used by chapter 02.
    """
    return _Replay(stages).run(source)
