"""Curved lines and curved coordinates, so that nothing in the landscape is quite straight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """Coordinates (u, v) in metres, turned by `angle` about (x, y) and bent: u += bend sin(v / length).

    The bend has an exact inverse, which is what lets houses be placed along bent streets.
    """

    x: float
    y: float
    angle: float
    bend: float = 0.0
    length: float = 300.0

    def to_local(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """(u, v) of points given in scene metres."""
        dx, dy = x - self.x, y - self.y
        u = np.cos(self.angle) * dx + np.sin(self.angle) * dy
        v = -np.sin(self.angle) * dx + np.cos(self.angle) * dy
        return u + self.bend * np.sin(v / self.length), v

    def to_scene(self, u: float, v: float) -> tuple[float, float]:
        """Scene metres of a point given as (u, v)."""
        straight = u - self.bend * np.sin(v / self.length)
        x = self.x + np.cos(self.angle) * straight - np.sin(self.angle) * v
        y = self.y + np.sin(self.angle) * straight + np.cos(self.angle) * v
        return float(x), float(y)

    def heading(self, v: float) -> float:
        """Direction (radians from the x axis) of the u axis; follows the bend so that corners stay square."""
        slope = self.bend / self.length * np.cos(v / self.length)
        return float(self.angle + np.arctan(slope))


@dataclass(frozen=True)
class Curve:
    """A winding line that crosses the scene: v = sum of two sines of u, in a frame turned by `angle`."""

    x: float
    y: float
    angle: float
    amplitude: float
    length: float
    phase: float = 0.0

    def signed_distance(self, x: Floats, y: Floats) -> Floats:
        """Metres from the line, negative towards smaller v; to first order, so it is best near the line."""
        u, v = Frame(self.x, self.y, self.angle).to_local(x, y)
        turn = u / self.length + self.phase
        line = self.amplitude * (np.sin(turn) + 0.35 * np.sin(2.3 * turn + 1.0))
        slope = self.amplitude / self.length * (np.cos(turn) + 0.35 * 2.3 * np.cos(2.3 * turn + 1.0))
        return (v - line) / np.sqrt(1.0 + slope**2)
