"use strict";
// Where the answers are kept: in the browser, or by the program that serves the page.

// Each has load(), to be awaited, and save(places), after each step; `tell` shows a line about it. load() gives
// whether there are others than were known.
function keptInBrowser(data, answers, tell) {
  const name = `fovea label ${data.page}`;
  let failed = false;

  function fail() {
    failed = true;
    tell("This browser keeps nothing of this page: download before you leave it.", true);
  }

  addEventListener("beforeunload", (event) => {
    if (failed && answers.steps.length) event.preventDefault();
  });
  return {
    async load() {
      try {
        answers.restore(JSON.parse(localStorage.getItem(name) || "[]"));
      } catch {
        fail();
      }
    },
    save() {
      try {
        localStorage.setItem(name, JSON.stringify(answers.steps));
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

  // As they were first given; a group whose images have one label is one step, as one key gave it.
  function stepsOf(known) {
    const places = new Map(data.images.map(({ sha256 }, place) => [sha256, place]));
    const groups = new Map(data.groups.flatMap((group) => group.map((place) => [place, group])));
    const given = Object.entries(known).filter(([sha256]) => places.has(sha256)).map(([sha256, label]) => [places.get(sha256), label]);
    const labels = new Map(given);
    const isOne = (group, label) => group.every((place) => labels.get(place) === label);
    const steps = new Map(given.map(([place, label]) => {
      const group = isOne(groups.get(place), label) ? groups.get(place) : [place];
      return [group[0], ["label", group, label]];
    }));
    return [...steps.values()];
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
        answers.restore([...looks(), ...stepsOf(known)]);
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
