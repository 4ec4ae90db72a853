"""What is written on the card of a model before anybody has added to it; the figures stand between, made from the record."""

from __future__ import annotations

from occlureid.zoo.record import Task

__all__ = ["LIMITS", "MISUSE", "NEVER_SHOWN", "PURPOSE"]

PURPOSE: dict[Task, str] = {
    "embedder": """\
It describes a crop that shows one pedestrian by numbers, and says how much of each part of the person the crop shows, so that two
crops can be compared on what both show. Use it to try occluded re-identification at once and offline, as a point of departure and
of comparison in research, to test software that stores and searches descriptors, and to sort footage that everybody on it knows
of and has agreed to. Its answer is an order of likeness, to be looked through by a person; it is never a statement about who
somebody is.""",
    "parser": """\
It says of each pixel of a crop that shows one pedestrian to which region of the body it belongs. Use it to give part maps to the
methods of this package that need them (SGAM, crops, "parser" visibility) where there is nothing but images.""",
    "landmarks": """\
It finds the joints of the body in a crop that shows one pedestrian, and says how sure it is of each. Use it to give landmarks to
the methods of this package that need them (PGFA, "pose" visibility) where there is nothing but images.""",
}

MISUSE = """\
- Surveillance without a legal basis, or of people who were not told: following people in public space, at work, at a
  demonstration, at a place of worship or of care.
- Identifying a named person, or supporting a claim that two pictures show one person, before an authority, an employer or a
  court.
- Any decision about a person that this alone makes or tips: entry, arrest, benefit, work, insurance, credit.
- Guessing origin, sex, age, health, belief or mood: it was never taught any of these, and what it may correlate with was
  not measured.
- Weapons and targeting, and any place where a mistake may hurt somebody."""

NEVER_SHOWN = """\
It has never seen a photograph. Its people are drawn from simple solids with painted clothes, and walk or stand upright. It
was never shown children, wheelchairs, prams with somebody in them, crutches, people who lie, sit, run or cycle, veils and
robes that cover the whole body, uniforms that many wear, rain, snow, night by infrared, fisheye lenses, views from straight
above, crowds in which nobody is whole, or faces with any detail."""

LIMITS = """\
- The figures above are of rendered worlds. On photographs they will be lower, by how much was not measured here; where it
  matters, measure it on pictures of the place, with people who have agreed to it.
- Clothes carry most of what it knows: whoever changes them is somebody else, and two people dressed alike are one.
- How it errs for people of different build, skin colour or dress was not measured on real people, for want of pictures that
  may be used for it.
- Half precision changes its output by what is stated above."""
