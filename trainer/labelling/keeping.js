"use strict";
// Where the answers are kept: in the browser, or by the program that serves the page.

// Each has load(), to be awaited, and save(places), after each step; `tell` shows a line about it. load() gives
// whether there are others than were known.
const MOST_ELSEWHERE = 10000;

function keptInBrowser(data, answers, tell) {
  const name = `fovea label ${data.model}`; // whichever images are on the page, so that it may be made anew
  const places = new Map(data.images.map(({ sha256 }, place) => [sha256, place]));
  const done = new Set(data.earlier.map(([path]) => path.replace(data.by_content, "")));
  let others = {}; // answers about images that are not on this page: digest -> label
  let seen = null; // what lies there, as far as this tab knows
  let failed = false;

  function fail() {
    failed = true;
    tell("This browser keeps nothing of this page: download before you leave it.", true);
  }

  // Steps lie there by digests. What they say of images of other pages is kept for those.
  function take({ steps = [], others: before = {} }) {
    const here = (digests) => digests.filter((each) => places.has(each)).map((each) => places.get(each));
    const ours = steps.map(([what, digests, ...label]) => [what, here(digests), ...label]);
    answers.restore([...stepsOf(data.groups, before, places), ...ours.filter(([what, at]) => what === "again" || at.length)]);
    const labels = steps.filter(([what]) => what === "label").flatMap(([, digests, label]) => digests.map((each) => [each, label]));
    others = Object.fromEntries([...Object.entries(before), ...labels].filter(([each]) => !places.has(each) && !done.has(each)).slice(-MOST_ELSEWHERE));
  }

  function text() {
    const digests = (at) => at.map((place) => data.images[place].sha256);
    return JSON.stringify({ others, steps: answers.steps.map(([what, at, ...label]) => [what, digests(at), ...label]) });
  }

  addEventListener("beforeunload", (event) => {
    if (failed && answers.steps.length) event.preventDefault();
  });
  return {
    async load() {
      try {
        const found = localStorage.getItem(name);
        if (failed || found === null || found === seen) return false;
        seen = found;
        take(JSON.parse(found));
        return true;
      } catch {
        fail();
        return false;
      }
    },
    save() {
      try {
        const kept = text();
        localStorage.setItem(name, kept);
        seen = kept;
        if (failed) tell("");
        failed = false;
      } catch {
        fail();
      }
    },
  };
}

const PATIENCE_MS = 2000;

function keptByProgram(data, answers, tell) {
  const unsaved = new Map(); // place -> label, null for one that has none any longer
  const refused = new Map(); // the same of what the program will never take
  const headers = { Authorization: `Bearer ${data.token}` };
  let isSending = false;
  let most = Infinity; // 1 while what is refused of several is looked for

  function sent(places) {
    places.forEach(([place, label]) => {
      if (unsaved.get(place) === label) unsaved.delete(place);
    });
  }

  // Of one answer: it is set aside, and the others go on. Of several: they are sent one by one.
  function refuse(places) {
    if (places.length > 1) {
      most = 1;
      return;
    }
    refused.set(...places[0]);
    sent(places);
    most = Infinity;
  }

  function told() {
    if (!refused.size) return tell(`saved in ${data.file}`);
    const named = [...refused].map(([place, label]) => `image ${place + 1} as \u201c${(label ?? "").slice(0, 40)}\u201d`);
    tell(`Not taken: ${named.slice(0, 3).join(", ")}. Label ${refused.size > 1 ? "them" : "it"} anew; the others are saved.`, true);
  }

  async function send() {
    if (isSending || !unsaved.size) return;
    isSending = true;
    const places = [...unsaved].slice(0, most);
    try {
      const changes = Object.fromEntries(places.map(([place, label]) => [data.images[place].sha256, label]));
      const reply = await fetch("answers", { method: "POST", headers, body: JSON.stringify(changes) });
      if (reply.status === 400) refuse(places);
      else if (!reply.ok) throw new Error(await reply.text());
      else sent(places);
      if (!unsaved.size) told();
    } catch (error) {
      const why = error instanceof TypeError ? "the program does not answer" : error.message;
      tell(`${unsaved.size} not saved: ${why}. It is tried again; the download has all answers.`, true);
      setTimeout(send, PATIENCE_MS);
      isSending = false;
      return;
    }
    isSending = false;
    send();
  }

  // What the program does not know of: groups that are open, and what was skipped.
  function looks() {
    const opened = [...answers.opened].map((place) => ["open", [place]]);
    return answers.skipped.size ? [...opened, ["skip", [...answers.skipped]]] : opened;
  }

  // Another tab may have given answers since.
  function isKnown(known) {
    const ours = [...answers.labels].filter(([place]) => !refused.has(place));
    return unsaved.size > 0 || (ours.length === Object.keys(known).length && ours.every(([place, label]) => known[data.images[place].sha256] === label));
  }

  addEventListener("beforeunload", (event) => {
    if (unsaved.size || refused.size) event.preventDefault();
  });
  return {
    async load() {
      try {
        const known = await (await fetch("answers", { headers })).json();
        if (isKnown(known)) return false;
        const places = data.images.map(({ sha256 }, place) => [sha256, place]);
        answers.restore([...looks(), ...stepsOf(data.groups, known, new Map(places))]);
        return true;
      } catch {
        tell("The program does not answer: start it again, and open the address that it says.", true);
      }
      return false;
    },
    unsaved: () => unsaved.size + refused.size,
    save(places) {
      places.forEach((place) => {
        refused.delete(place);
        unsaved.set(place, answers.labels.get(place) ?? null);
      });
      send();
    },
  };
}
