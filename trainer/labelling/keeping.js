"use strict";
// Where the answers are kept: in the browser, or by the program that serves the page.

// Each has load(), to be awaited, and save(places), after each step; `tell` shows a line about it.
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

  addEventListener("beforeunload", (event) => {
    if (unsaved.size || refused.size) event.preventDefault();
  });
  return {
    async load() {
      try {
        const known = await (await fetch("answers", { headers })).json();
        const steps = data.images.map(({ sha256 }, place) => ["label", [place], known[sha256]]);
        answers.restore(steps.filter(([, , label]) => label !== undefined));
      } catch {
        tell("The program does not answer: start it again, and open the address that it says.", true);
      }
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
