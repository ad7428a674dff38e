"""Whose turn it is this week, as JSON."""

import datetime
import json
import os
import pathlib

import bottle
import waitress

HERE = pathlib.Path(__file__).parent
VERSION_SHOWN = os.environ.get("CHORES_VERSION", "unknown")
chores = json.loads((HERE / "chores.json").read_text())
app = bottle.Bottle()


def turn(people: list[str], week: int) -> str:
    return people[week % len(people)]


@app.get("/healthz")
def healthz():
    return "ok\n"


@app.get("/api/chores")
def listing():
    week = int(bottle.request.query.week or datetime.date.today().isocalendar().week)
    turns = {chore: turn(people, week) for chore, people in chores.items()}
    return {"service": "chores", "version": VERSION_SHOWN, "week": week, "turns": turns}


if __name__ == "__main__":
    waitress.serve(app, listen=os.environ.get("LISTEN", "*:8080"))
