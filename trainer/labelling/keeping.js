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
  const headers = { Authorization: `Bearer ${data.token}` };
  let isSending = false;

  async function send() {
    if (isSending || !unsaved.size) return;
    isSending = true;
    const sent = [...unsaved];
    try {
      const changes = Object.fromEntries(sent.map(([place, label]) => [data.images[place].sha256, label]));
      const reply = await fetch("answers", { method: "POST", headers, body: JSON.stringify(changes) });
      if (!reply.ok) throw new Error(await reply.text());
      sent.forEach(([place, label]) => {
        if (unsaved.get(place) === label) unsaved.delete(place);
      });
      tell(`saved in ${data.file}`);
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
    if (unsaved.size) event.preventDefault();
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
    save(places) {
      places.forEach((place) => unsaved.set(place, answers.labels.get(place) ?? null));
      send();
    },
  };
}
