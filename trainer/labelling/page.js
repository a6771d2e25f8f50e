"use strict";
// The page: an image, or a group of nearly the same ones, and what it may be.

const MOST_NUMBERED = 9;
const MOST_OF_GROUP = 12;
const BEFORE = 2;
const AHEAD = 9;
const byId = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

function made(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  return element;
}

// Pictures lie in scripts of their own, many in each, which are read when one of theirs is looked at.
function album(size) {
  const read = new Map();
  return (place) => {
    const index = Math.floor(place / size);
    const element = read.has(index) ? null : byId(`pictures-${index}`);
    if (element) {
      read.set(index, JSON.parse(element.textContent));
      element.remove(); // the text is there but once
    }
    return read.get(index)?.[place % size] ?? null; // it is still on its way
  };
}

function labelling(data) {
  const answers = new Answers(data.groups);
  const addressOf = album(data.pictures_each);
  const keep = (data.token ? keptByProgram : keptInBrowser)(data, answers, (text, isBad = false) => {
    byId("saved").textContent = text;
    byId("saved").classList.toggle("warning", isBad);
    showEnd();
  });
  let isReady = false; // once what was kept is there
  let at = -1; // of the units; -1 when all are answered

  function labels() {
    return [...new Set([...data.labels, ...answers.named])].filter((label) => label !== NONE);
  }

  // What the number keys stand for: few classes are always the same ones; of many, what the model thinks of
  // and then what was chosen lately.
  function choices(unit) {
    const known = labels();
    if (known.length <= MOST_NUMBERED) return known;
    const top = data.images[unit[0]].top.map(([label]) => label).filter((label) => data.labels.includes(label));
    const lately = answers.steps.filter(([what, , label]) => what === "label" && label !== NONE);
    return [...new Set([...top, ...lately.reverse().map(([, , label]) => label), ...known])].slice(0, MOST_NUMBERED);
  }

  function suggestion(unit) {
    const { label } = data.images[unit[0]];
    return data.labels.includes(label) ? label : null;
  }

  function imageOf(place, alt) {
    const address = addressOf(place);
    return made("img", "", { alt, draggable: "false", ...(address && { src: address }) });
  }

  function picture(place, shown) {
    const figure = made("figure");
    figure.append(imageOf(place, `Image ${place + 1}`));
    if (shown) figure.append(made("figcaption", shown, { dir: "auto" }));
    return figure;
  }

  function showPictures(unit) {
    const first = data.images[unit[0]].label;
    const others = (place) => (data.images[place].label === first ? "" : data.images[place].label);
    byId("pictures").classList.toggle("several", unit.length > 1);
    byId("pictures").replaceChildren(...unit.slice(0, MOST_OF_GROUP).map((place) => picture(place, others(place))));
    if (unit.length > MOST_OF_GROUP) {
      byId("pictures").append(made("p", `and ${number(unit.length - MOST_OF_GROUP)} more`, { class: "faint" }));
    }
  }

  function showSaid(unit) {
    const image = data.images[unit[0]];
    const said = image.top.flatMap(([label, probability], index) => [
      index ? ", " : "The model says ", made(index ? "span" : "b", label, { dir: "auto" }), ` ${percent(probability)}`,
    ]);
    byId("said").replaceChildren(...said, ".");
    const given = answers.labels.get(unit[0]);
    const before = given === undefined ? [] : [`You said: ${given === NONE ? "none of these" : given}.`];
    const when = `Answered ${image.answered_at}${image.key ? `, ${image.key}` : ""}.`;
    byId("why").textContent = [...before, image.why ? `Here for: ${image.why}.` : "", when].join(" ");
  }

  function showChoices(unit) {
    const suggested = suggestion(unit);
    byId("classes").replaceChildren(...choices(unit).map((label, index) => {
      const button = made("button", "", { type: "button" });
      button.append(made("kbd", index + 1), made("bdi", label));
      if (label === suggested) {
        button.classList.add("suggested");
        button.append(made("kbd", "Enter"));
      }
      if (answers.labels.get(unit[0]) === label) button.ariaPressed = "true";
      button.addEventListener("click", () => choose(label));
      return button;
    }));
  }

  function showStrip() {
    const start = Math.max(0, at - BEFORE);
    byId("strip").replaceChildren(...answers.units.slice(start, start + BEFORE + AHEAD).map((unit, index) => {
      const given = answers.labels.get(unit[0]);
      const state = given === NONE ? "none of these" : given ?? (answers.skipped.has(unit[0]) ? "skipped" : "");
      const several = unit.length > 1 ? ` and ${unit.length - 1} more` : "";
      const button = made("button", "", { type: "button", "aria-label": `Image ${unit[0] + 1}${several}${state && `, ${state}`}` });
      button.append(imageOf(unit[0], ""), made("span", state || several.replace(/^ and (\d+) more/, "+$1"), { dir: "auto" }));
      if (start + index === at) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => goTo(start + index));
      const item = made("li");
      item.append(button);
      return item;
    }));
  }

  function showCounts() {
    const counts = new Map(labels().map((label) => [label, 0]));
    answers.labels.forEach((label) => counts.set(label, (counts.get(label) ?? 0) + 1));
    const isFew = counts.size <= 2 * MOST_NUMBERED;
    const rows = [...counts].filter(([label, count]) => count || (isFew && label !== NONE));
    byId("counts").replaceChildren(...rows.map(([label, count]) => {
      const item = made("li");
      item.append(made(label === NONE ? "i" : "bdi", label === NONE ? "none of these" : label), ` ${number(count)}`);
      return item;
    }));
    const drawn = [...answers.labels].filter(([place]) => data.images[place].drawn);
    const right = drawn.filter(([place, label]) => data.images[place].label === label).length;
    byId("drawn").textContent = drawn.length
      ? `Of the ${number(drawn.length)} answered that were drawn by chance, the model was right about ${number(right)} (${percent(right / drawn.length)}).` : "";
  }

  function showEnd() {
    if (!data.token) return;
    const left = keep.unsaved();
    byId("ended").textContent = left
      ? `${number(left)} ${left > 1 ? "answers are" : "answer is"} not saved in ${data.file}: leave this page open, or download it.` : "All is saved.";
  }

  function showProgress() {
    const done = answers.labels.size;
    const skipped = answers.skipped.size ? `, ${number(answers.skipped.size)} skipped` : "";
    byId("done").textContent = `${number(done)} of ${number(data.images.length)} labelled${skipped}`;
    byId("progress").value = done;
    byId("download").disabled = !done && !data.earlier.length;
    byId("undo").disabled = !answers.steps.length;
  }

  function showUnit() {
    const unit = answers.units[at];
    const several = unit.length > 1;
    byId("now").textContent = several ? `${number(unit.length)} images, nearly the same` : `Image ${number(unit[0] + 1)}`;
    byId("open").hidden = !several;
    showPictures(unit);
    showSaid(unit);
    showChoices(unit);
  }

  function show() {
    if (!isReady) return;
    byId("work").hidden = at < 0;
    byId("end").hidden = at >= 0;
    byId("again").hidden = !answers.skipped.size;
    if (at >= 0) showUnit();
    showStrip();
    showCounts();
    showProgress();
    showEnd();
  }

  function goTo(unit, said = "") {
    const hadFocus = byId("work").contains(document.activeElement) || byId("strip").contains(document.activeElement);
    at = unit;
    show();
    const here = byId(at < 0 ? "end" : "work");
    if (hadFocus) here.focus({ preventScroll: true });
    const now = at < 0 ? "All are answered." : `${byId("now").textContent}. ${byId("said").textContent}`;
    byId("status").textContent = `${said} ${now}`;
  }

  function step(what, places, label) {
    answers.add(what, places, label);
    keep.save(what === "label" ? places : []);
  }

  function choose(label) {
    if (at < 0 || label === undefined || label === null) return;
    const open = answers.units[at].filter((place) => !answers.labels.has(place));
    step("label", open.length ? open : answers.units[at], label);
    goTo(answers.next(at + 1), label === NONE ? "None of these." : `${label}.`);
  }

  function skip() {
    if (at < 0) return;
    const open = answers.units[at].filter((place) => !answers.labels.has(place));
    if (open.length) step("skip", open);
    goTo(answers.next(at + 1), "Skipped.");
  }

  function openGroup() {
    if (at < 0 || answers.units[at].length === 1) return;
    const [first] = answers.units[at];
    step("open", [first]);
    goTo(answers.unitOf(first), "Opened.");
  }

  function counted(places) {
    return places.length > 1 ? `${number(places.length)} images` : `image ${number(places[0] + 1)}`;
  }

  function undo() {
    const undone = answers.undo();
    if (!undone) return;
    keep.save(undone[0] === "label" ? undone[1] : []);
    const given = undone[0] === "label" ? ` ${undone[2] === NONE ? "None of these" : undone[2]}, of ${counted(undone[1])}, is taken back.` : "";
    goTo(undone[1].length ? answers.unitOf(undone[1][0]) : answers.next(0), `Undone.${given}`);
    byId("why").textContent = `${given.trim()} ${byId("why").textContent}`;
  }

  function again() {
    step("again", []);
    goTo(answers.next(0));
  }

  function move(by) {
    const to = at < 0 ? answers.units.length - 1 : at + by;
    if (to >= 0 && to < answers.units.length) goTo(to);
  }

  function download() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv(data, answers)], { type: "text/csv" }));
    link.download = data.file;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  const keys = {
    Enter: () => choose(suggestion(answers.units[at])),
    " ": () => choose(suggestion(answers.units[at])),
    0: () => choose(NONE),
    s: skip,
    g: openGroup,
    z: undo,
    Backspace: undo,
    "/": () => byId("typed").focus(),
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
  };
  for (let place = 1; place <= MOST_NUMBERED; place += 1) keys[place] = () => choose(choices(answers.units[at])[place - 1]);

  document.addEventListener("keydown", (event) => {
    const isUndo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey);
    const isOwn = event.target.matches("input[type=text]") || (["Enter", " "].includes(event.key) && event.target.matches("button, input, summary"));
    if (!isReady || isOwn || event.altKey || ((event.ctrlKey || event.metaKey) && !isUndo) || !(byId("keys").checked || isUndo)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = Object.hasOwn(keys, key) && keys[key];
    if (!action || (at < 0 && !["z", "Backspace", "ArrowLeft"].includes(key))) return;
    event.preventDefault();
    if (!event.repeat || event.key.startsWith("Arrow")) action(); // a key that is held labels but once
  });
  const clicks = { none: () => choose(NONE), skip, open: openGroup, undo, again, download };
  Object.entries(clicks).forEach(([id, action]) => byId(id).addEventListener("click", action));
  typeAhead(byId("typed"), byId("found"), labels, choose, () => byId("work").focus());
  document.addEventListener("DOMContentLoaded", () => show()); // those pictures are there now that came later

  // What another tab answered meanwhile.
  async function lookAgain() {
    if (isReady && (await keep.load())) goTo(answers.next(0));
  }
  ["focus", "storage"].forEach((kind) => addEventListener(kind, lookAgain));

  keep.load().then(() => {
    byId("unscripted")?.remove();
    isReady = true;
    at = answers.next(0);
    show();
  });
}

labelling(JSON.parse(byId("data").textContent));
