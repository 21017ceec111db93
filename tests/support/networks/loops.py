# SPDX-License-Identifier: Apache-2.0
"""Recurrences written as Python loops over time, with random weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class OverTime(nn.Module):
    """Calls `step(row, state) -> state` for every row of [1, T, C]; stacks the states, or returns
    the last one."""

    width: int

    def step(self, row: Tensor, state: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        state, states = x.new_zeros(1, self.width), []
        for row in x.unbind(1):
            state = self.step(row, state)
            states.append(state)
        return torch.stack(states, 1)


class ClosedForm(OverTime):
    """A closed-form continuous-time cell (Hasani et al., 2022), 8 -> 32."""

    width = 32

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.a, self.b = (nn.Linear(40, self.width) for _ in range(4))

    def step(self, row: Tensor, state: Tensor) -> Tensor:
        both = torch.cat([row, state], 1)
        gate = torch.sigmoid(self.a(both) + self.b(both))
        return torch.tanh(self.one(both)) * (1 - gate) + gate * torch.tanh(self.two(both))


class LiquidTime(OverTime):
    """A liquid time-constant cell (Hasani et al., 2021), 8 -> 16, with three substeps per row."""

    width = 16

    def __init__(self) -> None:
        super().__init__()
        self.own, self.past = nn.Linear(8, self.width), nn.Linear(self.width, self.width)
        self.goal, self.leak = (
            nn.Parameter(torch.randn(self.width)),
            nn.Parameter(torch.rand(self.width)),
        )

    def step(self, row: Tensor, state: Tensor) -> Tensor:
        own = self.own(row)
        for _ in range(3):
            flow = torch.sigmoid(own + self.past(state))
            state = (state + 0.3 * flow * self.goal) / (1 + 0.3 * (self.leak + flow))
        return state


class MinimalGated(OverTime):
    """A minimal gated unit (Zhou et al., 2016), 8 -> 6, with a learned first state."""

    width = 6

    def __init__(self) -> None:
        super().__init__()
        self.forget, self.next = (nn.Linear(8 + self.width, self.width) for _ in range(2))
        self.first = nn.Parameter(0.3 * torch.randn(1, self.width))
        self.head = nn.Linear(self.width, 3)

    def step(self, row: Tensor, state: Tensor) -> Tensor:
        gate = torch.sigmoid(self.forget(torch.cat([row, state], 1)))
        new = torch.tanh(self.next(torch.cat([row, gate * state], 1)))
        return (1 - gate) * state + gate * new

    def forward(self, x: Tensor) -> Tensor:
        state, states = self.first, []
        for row in x.unbind(1):
            state = self.step(row, state)
            states.append(state)
        return self.head(torch.stack(states, 1))


class Decayed(OverTime):
    """A linear recurrence with computed decays, 8 -> 6: one operator, `scan`."""

    width = 6

    def __init__(self) -> None:
        super().__init__()
        self.decay, self.more = (nn.Linear(8, self.width) for _ in range(2))

    def step(self, row: Tensor, state: Tensor) -> Tensor:
        return torch.sigmoid(self.decay(row)) * state + self.more(row)


class Selective(nn.Module):
    """The scan of a state-space model (Mamba), 8 -> 6, four states per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.delta, self.x = nn.Linear(8, 6), nn.Linear(8, 6)
        self.into, self.out = nn.Linear(8, 4), nn.Linear(8, 4)
        self.rate, self.direct = nn.Parameter(-torch.rand(6, 4) - 0.1), nn.Parameter(torch.ones(6))

    def skipped(self, x: Tensor) -> Tensor:
        return self.direct * x

    def forward(self, rows: Tensor) -> Tensor:
        delta, x = nn.functional.softplus(self.delta(rows)), self.x(rows)
        state, found = rows.new_zeros(1, 6, 4), []
        for now, more, b, c in zip(
            *(v.unbind(1) for v in (delta, x, self.into(rows), self.out(rows))), strict=True
        ):
            decay = torch.exp(now[..., None] * self.rate)
            state = decay * state + (now * more)[..., None] * b[:, None]
            found.append((state * c[:, None]).sum(-1) + self.skipped(more))
        return torch.stack(found, 1)


class Spikes(nn.Module):
    """Two layers of 64 leaky integrate-and-fire neurons: counts of the second one's spikes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 64), nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        charges = [x.new_zeros(1, 64), x.new_zeros(1, 64)]
        count = x.new_zeros(1, 64)
        for row in x.unbind(1):
            spikes = row
            for at, layer in enumerate((self.first, self.second)):
                charge = 0.9 * charges[at] + layer(spikes)
                spikes = (charge > 1.0).to(x.dtype)
                charges[at] = charge - spikes
            count = count + spikes
        return count


class Decoder(nn.Module):
    """Two LSTM cells of 128 units that read their own result: two positions per row."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTMCell(10, 128), nn.LSTMCell(128, 128)
        self.last = nn.Linear(128, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = b = (x.new_zeros(1, 128), x.new_zeros(1, 128))
        position, found = x.new_zeros(1, 2), []
        for row in x.unbind(1):
            a = self.first(torch.cat([row, position], 1), a)
            b = self.second(a[0], b)
            position = position + self.last(b[0])
            found.append(position)
        return torch.stack(found, -1)
