"use strict";
// What was answered so far: steps, from which all else follows. What is undone is taken off their end.

const NONE = ""; // the label of what is none of the classes

class Answers {
  // `groups` are arrays of places of images, in their order.
  constructor(groups) {
    this.groups = groups;
    this.steps = [];
    this.named = []; // the labels in the order of their first use, so that a key stays what it is
    this.replay();
  }

  replay() {
    this.labels = new Map(); // place -> label
    this.skipped = new Set();
    this.opened = new Set(); // the first place of each group that is gone through one by one
    this.steps.forEach((step) => this.apply(step));
    this.cut();
  }

  apply([what, places, label]) {
    switch (what) {
      case "label":
        if (!this.named.includes(label)) this.named.push(label);
        places.forEach((place) => {
          this.labels.set(place, label);
          this.skipped.delete(place);
        });
        break;
      case "skip": places.forEach((place) => this.skipped.add(place)); break;
      case "open": this.opened.add(places[0]); break;
      case "again": this.skipped.clear(); break;
    }
  }

  add(...step) {
    this.steps.push(step);
    this.apply(step);
    if (step[0] === "open") this.cut();
  }

  // The step that is no more; undefined where there was none.
  undo() {
    const step = this.steps.pop();
    const used = new Set(this.steps.map(([, , label]) => label));
    while (this.named.length && !used.has(this.named.at(-1))) this.named.pop(); // which moves no other
    this.replay();
    return step;
  }

  // Units are what one key press labels.
  cut() {
    const isWhole = (group) => group.length === 1 || !this.opened.has(group[0]);
    this.units = this.groups.flatMap((group) => (isWhole(group) ? [group] : group.map((place) => [place])));
  }

  unitOf(place) {
    return this.units.findIndex((unit) => unit.includes(place));
  }

  isOpen(unit) {
    return unit.some((place) => !this.labels.has(place) && !this.skipped.has(place));
  }

  // The next unit without an answer, from `start` on and then from the beginning; -1 where there is none.
  next(start) {
    const after = this.units.findIndex((unit, index) => index >= start && this.isOpen(unit));
    return after >= 0 ? after : this.units.findIndex((unit) => this.isOpen(unit));
  }

  // Takes steps that were kept, if they are steps of these images.
  restore(steps) {
    const count = this.groups.flat().length;
    const isPlace = (place) => Number.isInteger(place) && place >= 0 && place < count;
    const isStep = (step) => Array.isArray(step) && Array.isArray(step[1]) && step[1].every(isPlace)
      && (step[0] === "label" ? typeof step[2] === "string" : ["skip", "open", "again"].includes(step[0]));
    if (!Array.isArray(steps) || !steps.every(isStep)) return;
    this.steps = steps;
    this.replay();
    const parted = this.groups.filter((group) => !this.opened.has(group[0]) && this.isParted(group));
    this.steps = [...parted.map(([first]) => ["open", [first]]), ...steps];
    this.replay();
  }

  // Whether one key for all of them would write over answers that were given one by one.
  isParted(group) {
    return new Set(group.map((place) => this.labels.get(place))).size > 1;
  }
}

// Of answers by digest, in their order; a group whose images have one label is one step, as one key gave it.
function stepsOf(groups, labels, places) {
  const given = new Map(Object.entries(labels).filter(([each]) => places.has(each)).map(([each, label]) => [places.get(each), label]));
  const groupOf = new Map(groups.flatMap((group) => group.map((place) => [place, group])));
  const isOne = (group, label) => group.every((place) => given.get(place) === label);
  const steps = [...given].map(([place, label]) => {
    const unit = isOne(groupOf.get(place), label) ? groupOf.get(place) : [place];
    return [unit[0], ["label", unit, label]];
  });
  return [...new Map(steps).values()];
}

function csv(data, answers) {
  const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = data.images.flatMap((image, place) => {
    if (!answers.labels.has(place)) return [];
    const label = answers.labels.get(place);
    const decision = label === NONE ? data.decisions.leaveOut
      : label === image.label ? data.decisions.keep : data.decisions.relabel;
    return [[data.by_content + image.sha256, label, decision, image.label, image.probability, String(place + 1)]];
  });
  return [data.columns, ...data.earlier, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
}
