"""An astronaut: afloat in open space, else on foot."""

from __future__ import annotations

from taskreel_local.studio.drawing.ground import choose_place
from taskreel_local.studio.drawing.local_shapes import LocalShapes
from taskreel_local.studio.drawing.palette import mix, rgb
from taskreel_local.studio.drawing.sky import Scene


def paint_astronaut(scene: Scene) -> None:
    """A white suit, a pack and a golden visor."""
    canvas = scene.canvas
    afloat = scene.plan.place in ("space", "underwater") and not scene.ground.size
    if afloat:
        x = canvas.width * (0.56 if scene.lamp[0] < canvas.width / 2 else 0.44)
        suit = LocalShapes(
            scene, (x - scene.unit * 0.1, canvas.height * 0.68), scene.unit * 0.5, 1, 0.3
        )
    else:
        suit = LocalShapes(scene, choose_place(scene, 0.42, 0.06), scene.unit * 0.36)
    white = scene.tint("astronaut", mix(rgb("e9ebf0"), scene.palette.haze, 0.12))
    grey, spread = mix(white, rgb("4a5060"), 0.45), 0.09 if afloat else 0.0
    if afloat:
        hose = [(-0.12, 0.52), (-0.35, 0.42), (-0.5, 0.6), (-0.72, 0.5), (-0.95, 0.62)]
        suit.lines(grey, 0.014, hose)
    suit.curves(grey, [(-0.19, 0.42), (-0.19, 0.78), (0.19, 0.78), (0.19, 0.42)], rim=0.3)
    for side in (-1, 1):
        hip, knee, sole = side * 0.07, side * (0.09 + spread), side * (0.1 + spread * 1.6)
        suit.curves(
            white,
            [
                (hip - 0.07, 0.44),
                (hip + 0.07, 0.44),
                (knee + 0.06, 0.22),
                (sole + 0.055, 0.05),
                (sole - 0.055, 0.05),
                (knee - 0.06, 0.22),
            ],
            rim=0.5,
        )
        suit.curves(
            grey, [(sole - 0.06, 0.07), (sole + 0.07, 0.07), (sole + 0.09, 0), (sole - 0.06, 0)]
        )
        raised = 0.82 if afloat and side > 0 else 0.44
        suit.curves(
            white,
            [
                (side * 0.11, 0.74),
                (side * 0.2, 0.71),
                (side * 0.32, raised + 0.05),
                (side * 0.29, raised - 0.03),
                (side * 0.22, raised - 0.01 if raised > 0.5 else 0.5),
                (side * 0.11, 0.6),
            ],
            rim=0.5,
        )
        suit.discs(grey, (side * 0.315, raised + 0.01, 0.045), rim=0.3)
    torso = [(-0.13, 0.76), (0.13, 0.76), (0.16, 0.6), (0.13, 0.4), (-0.13, 0.4), (-0.16, 0.6)]
    suit.curves(white, torso, rim=0.5)
    suit.polygons(grey, [(-0.06, 0.54), (-0.06, 0.63), (0.06, 0.63), (0.06, 0.54)], rim=0)
    suit.discs(rgb("e0442e"), (-0.03, 0.585, 0.014))
    suit.discs(rgb("4ac0e8"), (0.025, 0.585, 0.014))
    suit.discs(white, (0, 0.87, 0.135), rim=0.7)
    visor = [(-0.1, 0.9), (-0.06, 0.95), (0.06, 0.95), (0.1, 0.9), (0.08, 0.81), (-0.08, 0.81)]
    suit.curves(mix(rgb("3a2a14"), rgb("e0a83a"), 0.35), visor, rim=0.5)
    suit.curves(rgb("ffd98a"), [(-0.07, 0.9), (-0.04, 0.93), (0.0, 0.925), (-0.05, 0.87)], rim=0)
