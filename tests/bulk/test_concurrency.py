"""The number of calls in flight, simulated against servers that queue, refuse, grow and slow down."""

import heapq
import random

import pytest

from sagewire.bulk.concurrency import Call, ConcurrencyController


class Simulation:
    """A server and a job on one clock.

    Args:
        latency: Seconds for a row, given its number, a random generator and the calls being served.
        slots: Calls served at a time, given the time; others queue.
        cap: Calls taken at a time; others are refused.
        rate: Calls taken per second; others are refused.
        pause: Seconds for which a refused row waits.
    """

    def __init__(self, latency, *, slots=None, cap=None, rate=None, pause=1.0):
        self.latency, self.slots, self.cap, self.rate, self.pause = latency, slots, cap, rate, pause

    def run(self, rows, fixed=None, seed=1):
        """Return how many seconds it takes."""
        self.random, self.now, self.events, self.order = random.Random(seed), 0.0, [], 0
        self.served, self.queue, self.tokens, self.filled = 0, [], self.rate or 0.0, 0.0
        self.controller = controller = ConcurrencyController(fixed, most=256, clock=lambda: self.now)
        waiting, row, done = [], 0, 0
        while done < rows:
            while controller.in_flight < controller.limit and (row < rows or waiting):
                number = waiting.pop() if waiting else row
                row += number == row
                self.begin(number)
            self.now, _, kind, call, number = heapq.heappop(self.events)
            if kind == "answered":
                done += 1
                self.served -= 1
                if self.queue:
                    self.serve(*self.queue.pop(0))
                controller.leave(call)
            elif kind == "refused":
                kept = controller.leave(call, refused=True, keep=True)
                self.add(self.pause, "retry", kept, number)
            else:
                waiting.append(number)
                if call:
                    controller.release()
        return self.now

    def begin(self, number):
        controller = self.controller
        controller.in_flight += 1
        controller._peak = max(controller._peak, controller.in_flight)
        call = Call(self.now, controller._round)
        if self.refuses():
            self.add(0.005, "refused", call, number)
        elif self.slots is not None and self.served >= self.slots(self.now):
            self.queue.append((call, number))
        else:
            self.serve(call, number)

    def refuses(self):
        if self.cap is not None and self.served >= self.cap:
            return True
        if self.rate is None:
            return False
        self.tokens = min(self.rate, self.tokens + (self.now - self.filled) * self.rate)
        self.filled = self.now
        if self.tokens < 1:
            return True
        self.tokens -= 1
        return False

    def serve(self, call, number):
        self.served += 1
        self.add(self.latency(number, self.random, self.served), "answered", call, number)

    def add(self, delay, kind, call, number):
        self.order += 1
        heapq.heappush(self.events, (self.now + delay, self.order, kind, call, number))


def noisy(seconds, spread=0.4):
    return lambda number, random, served: seconds(number, served) * random.lognormvariate(0, spread)


SERVERS = {
    "no queue, rows get longer": (Simulation(noisy(lambda number, _: 0.1 + number / 10_000)), 20_000, 256),
    "no queue, rows get shorter": (Simulation(noisy(lambda number, _: 2.1 - number / 20_000)), 40_000, 256),
    "no queue, equal rows": (Simulation(noisy(lambda *_: 0.5, 0.0)), 20_000, 256),
    "a queue before 40 slots": (Simulation(noisy(lambda *_: 1.0), slots=lambda _: 40), 10_000, 48),
    "a queue before 4 slots": (Simulation(noisy(lambda *_: 1.0), slots=lambda _: 4), 3_000, 4),
    "a queue, rows get longer": (
        Simulation(noisy(lambda number, _: 0.1 + number / 5_000), slots=lambda _: 40),
        10_000,
        48,
    ),
    "a batch that slows down as it grows": (Simulation(noisy(lambda _, served: 0.3 + 0.02 * served)), 20_000, 256),
    "16 at a time, Retry-After": (Simulation(noisy(lambda *_: 0.05, 0.1), cap=16), 5_000, 16),
    "100 at a time, Retry-After": (Simulation(noisy(lambda *_: 2.0), cap=100), 20_000, 100),
    "16 at a time, no Retry-After": (Simulation(noisy(lambda *_: 0.05, 0.1), cap=16, pause=0.2), 5_000, 16),
    "50 a second, long pauses": (Simulation(noisy(lambda *_: 0.3), rate=50, pause=5.0), 5_000, 16),
    "50 a second": (Simulation(noisy(lambda *_: 0.3), rate=50), 5_000, 16),
    "replicas that are added": (
        Simulation(noisy(lambda *_: 1.0), slots=lambda now: 20 if now < 100 else 80),
        20_000,
        100,
    ),
}


@pytest.mark.parametrize("name", SERVERS)
def test_it_comes_near_the_best_fixed_number(name):
    server, rows, best = SERVERS[name]
    shares = [server.run(rows, fixed=best, seed=seed) / server.run(rows, seed=seed) for seed in range(2)]
    assert sum(shares) / len(shares) >= 0.9, shares


@pytest.mark.parametrize("workers", [16, 24])
def test_a_refusal_pauses_one_place_and_not_the_others(workers):
    server = Simulation(noisy(lambda *_: 0.05, 0.1), cap=16)
    assert server.run(2_000, fixed=workers) < 1.2 * 2_000 * 0.05 / 16


def test_an_endpoint_that_refuses_everything_is_asked_seldom():
    class Closed(Simulation):
        def refuses(self):
            return self.now < 60 or super().refuses()

    server = Closed(noisy(lambda *_: 0.05), cap=16)
    server.run(200)
    # One call in flight and one a second, after the first ones.
    assert server.controller.refused < 150


async def test_a_place_is_given_to_the_next_in_turn():
    controller = ConcurrencyController(1)
    call = await controller.enter()
    assert controller.leave(call, refused=True, keep=True)
    assert controller.in_flight == 1
    controller.release()
    call = await controller.enter()
    assert not controller.leave(call, keep=True)
    assert (controller.in_flight, controller.calls, controller.refused) == (0, 2, 1)
