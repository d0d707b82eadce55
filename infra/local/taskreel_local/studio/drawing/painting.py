"""The order of painting: sky, land or water, things, weather, and the last touches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from taskreel_local.studio.drawing import (
    astronaut,
    beasts,
    creatures,
    indoors,
    landmarks,
    objects,
    playthings,
    vehicles,
)
from taskreel_local.studio.drawing.abstract_picture import paint_abstract
from taskreel_local.studio.drawing.canvas import Canvas
from taskreel_local.studio.drawing.city import paint_city
from taskreel_local.studio.drawing.cosmos import paint_space, paint_underwater
from taskreel_local.studio.drawing.ground import paint_small_world
from taskreel_local.studio.drawing.land import (
    paint_dunes,
    paint_forest,
    paint_hills,
    paint_mountains,
    paint_shore,
)
from taskreel_local.studio.drawing.noise import Dice, resize
from taskreel_local.studio.drawing.palette import luminance, palette
from taskreel_local.studio.drawing.picture_plan import Plan, read
from taskreel_local.studio.drawing.portrait import paint_portrait
from taskreel_local.studio.drawing.sky import Scene, bloom, paint_sky
from taskreel_local.studio.drawing.water import mirror_ground, paint_swell, paint_water
from taskreel_local.studio.drawing.weather import paint_lightning, paint_weather

Painter = Callable[[Scene], None]

HORIZONS = {
    "sea": 0.62,
    "lake": 0.6,
    "city": 0.66,
    "desert": 0.56,
    "hills": 0.55,
    "mountains": 0.66,
    "forest": 0.55,
}
ON_THE_HORIZON: dict[str, Painter] = {
    "volcano": landmarks.paint_volcano,
    "pyramid": landmarks.paint_pyramids,
    "bridge": landmarks.paint_bridge,
}
STANDING: dict[str, Painter] = {
    "castle": landmarks.paint_castle,
    "lighthouse": landmarks.paint_lighthouse,
    "windmill": landmarks.paint_windmill,
    "house": landmarks.paint_house,
    "tree": objects.paint_tree,
    "balloon": objects.paint_balloons,
    "birds": creatures.paint_birds,
    "boat": objects.paint_boat,
    "whale": creatures.paint_whale,
    "fish": creatures.paint_fish,
    "rocket": objects.paint_rocket,
    "kite": playthings.paint_kite,
    "bird": beasts.paint_bird,
    "dragon": beasts.paint_dragon,
    "train": vehicles.paint_train,
    "oven": indoors.paint_oven,
}
IN_FRONT: dict[str, Painter] = {
    "flowers": objects.paint_flowers,
    "horse": beasts.paint_horse,
    "car": vehicles.paint_car,
    "baker": indoors.paint_baker,
    "fox": creatures.paint_fox,
    "wolf": creatures.paint_wolf,
    "robot": creatures.paint_robot,
    "cat": creatures.paint_cat,
    "figure": creatures.paint_figure,
    "astronaut": astronaut.paint_astronaut,
    "ball": playthings.paint_ball,
    "bottle": objects.paint_bottle,
    "lantern": objects.paint_lantern,
}
#: Things that need no ground in open space.
AFLOAT = {"balloon", "birds", "whale", "fish", "rocket", "kite", "bird", "dragon", "astronaut"}


def paint(prompt: str, *, seed: int, width: int, height: int) -> Canvas:
    """The finished picture of a prompt, values 0…1."""
    dice = Dice(f"{prompt.strip().lower()}|{seed}")
    plan = read(prompt, dice.of("plan"))
    canvas = Canvas(width, height)
    if plan.place is None:
        paint_abstract(canvas, dice, named=plan.named)
    else:
        _paint_scene(_make_scene(canvas, plan, dice))
    _finish_picture(canvas, dice, grade=plan.mood == "noir")
    return canvas


def _make_scene(canvas: Canvas, plan: Plan, dice: Dice) -> Scene:
    rng = dice.of("composition")
    horizon = canvas.height * (HORIZONS.get(plan.place or "", 0.6) + rng.uniform(-0.03, 0.03))
    moonlit = plan.mood in ("night", "noir") or (plan.has("moon") and not plan.has("sun"))
    low = plan.mood in ("sunset", "dawn", "dusk", "desert") and not moonlit
    side = rng.choice([rng.uniform(0.2, 0.36), rng.uniform(0.64, 0.8)])
    lamp = (
        float(side) * canvas.width,
        horizon * (rng.uniform(0.7, 0.9) if low else rng.uniform(0.2, 0.42)),
    )
    return Scene(canvas, plan, dice, palette(plan.mood, dice.of("palette")), horizon, lamp, moonlit)


def _paint_scene(scene: Scene) -> None:
    plan = scene.plan
    PLACES[plan.place or "hills"](scene)
    if plan.place != "portrait":
        _paint_things(scene, STANDING)
        if plan.place in ("sea", "lake") and plan.has(*IN_FRONT):
            paint_shore(scene)
        _paint_things(scene, IN_FRONT)
    paint_weather(scene)


def _paint_things(scene: Scene, painters: dict[str, Painter]) -> None:
    for thing, painter in painters.items():
        if scene.plan.has(thing):
            painter(scene)


def _with_sky(*painters: Painter) -> Painter:
    def place(scene: Scene) -> None:
        paint_sky(scene)
        if scene.plan.has("lightning"):
            paint_lightning(scene)
        _paint_things(scene, ON_THE_HORIZON)
        for painter in painters:
            painter(scene)

    return place


def _paint_open_space(scene: Scene) -> None:
    paint_space(scene)
    if scene.plan.has(*({*STANDING, *IN_FRONT} - AFLOAT)):
        paint_small_world(scene)


def _paint_sea(scene: Scene) -> None:
    if scene.plan.mood == "storm":
        paint_water(scene, calm=0.1)
        paint_swell(scene)
        return
    if scene.chance("coast").random() < 0.6 and not scene.plan.has(
        "bridge"
    ):  # a coast in the distance
        paint_mountains(scene, layers=2, lift=0.075)
    paint_water(scene, calm=0.45)


def _paint_lake(scene: Scene) -> None:
    paint_mountains(scene, layers=4, lift=0.14)
    paint_water(scene, calm=0.82)


def _paint_city(scene: Scene) -> None:
    paint_city(scene)
    mirror_ground(scene, scene.horizon + scene.unit * 0.16)


def _paint_mountains(scene: Scene) -> None:
    if scene.plan.has("volcano"):  # its foot stays in sight
        paint_mountains(scene, layers=2, lift=-0.12)
    else:
        paint_mountains(scene, layers=5, lift=-0.02)


def _paint_hills(scene: Scene) -> None:
    if scene.chance("range").random() < 0.5 or scene.plan.mood == "snow":
        paint_mountains(scene, layers=2, lift=0.08)
    paint_hills(scene)


PLACES: dict[str, Painter] = {
    "sea": _with_sky(_paint_sea),
    "lake": _with_sky(_paint_lake),
    "city": _with_sky(_paint_city),
    "mountains": _with_sky(_paint_mountains),
    "desert": _with_sky(paint_dunes),
    "forest": _with_sky(paint_forest),
    "hills": _with_sky(_paint_hills),
    "space": _paint_open_space,
    "room": indoors.paint_room,
    "underwater": paint_underwater,
    "portrait": paint_portrait,
}


def _finish_picture(canvas: Canvas, dice: Dice, *, grade: bool) -> None:
    """Bloom, contrast, vignette and a little film grain."""
    bloom(canvas, 0.6)
    colours = canvas.rgb
    grey = luminance(colours)
    np.clip(grey + (colours - grey) * (0.0 if grade else 1.08), 0, None, out=colours)
    np.clip(colours, 0, 1.6, out=colours)
    shoulder = np.where(
        colours > 0.8, 0.8 + 0.2 * np.tanh((colours - 0.8) / 0.28), colours
    )  # highlights roll off
    colours[:] = shoulder + 0.07 * (shoulder - 0.5) * (1 - np.abs(2 * shoulder - 1))
    x, y = canvas.x / canvas.width - 0.5, canvas.y / canvas.height - 0.5
    colours *= 1 - 0.62 * np.clip(x * x + y * y - 0.12, 0, 1)
    grain = (
        dice.of("film")
        .normal(0, 0.0075, (canvas.height // 2 + 1, canvas.width // 2 + 1))
        .astype(np.float32)
    )
    colours += resize(grain, canvas.width, canvas.height)
    np.clip(colours, 0, 1, out=colours)
