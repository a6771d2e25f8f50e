"use strict";

const element = (id) => document.getElementById(id);
const shown = { own: "", crop: "" };
let asking = new AbortController();
let image = null;
let wants = {};
/** Of a multi-label model, each label's; else null. */
let thresholds = null;
let offered = [];
let chosen = new URLSearchParams(location.search).get("model") || "";

class Refused extends Error {
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

async function ask(path, options = {}) {
  const token = element("token").value.trim();
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  if (response.status === 401) askForToken();
  const isProblem = (response.headers.get("Content-Type") || "").startsWith("application/problem+json");
  const problem = isProblem ? await response.json() : { title: response.statusText, status: response.status, detail: "" };
  throw new Refused(problem);
}

async function describeModels() {
  try {
    offer(await served());
    await describeModel();
  } catch (error) {
    showUnknown(error);
  }
}

async function served() {
  const { models } = await (await ask("/v1/models")).json();
  return models.map((model) => model.name);
}

/** Models come and go. */
async function lookAgain() {
  if (!offered.length) return; // it is not known yet, or needs a token first
  try {
    const names = await served();
    if (names.join("\n") !== offered.join("\n")) offer(names);
  } catch {
    // what was offered stays
  }
}

function offer(names) {
  offered = names;
  chosen ||= names[0];
  element("choice").replaceChildren(...names.map((name) => new Option(name, name)));
  element("choice").value = chosen; // none is, where the address names one that there is not
  element("asks-model").hidden = names.length === 1 && names[0] === chosen;
}

async function choose(name) {
  chosen = name;
  const address = new URL(location);
  address.searchParams.set("model", name);
  history.replaceState(null, "", address);
  asking.abort();
  await describeModel();
  if (image && name === chosen) classify(image);
}

async function describeModel() {
  const asked = chosen;
  try {
    const model = await (await ask(`/v1/model?${new URLSearchParams(named())}`)).json();
    if (asked === chosen) showModel(model);
  } catch (error) {
    if (asked === chosen) showUnknown(error);
  }
}

function showModel(model) {
  const labels = model.labels.length;
  const count = element("count");
  count.max = labels;
  count.value = Math.min(count.value || 5, labels);
  element("name").textContent = `Try ${model.model.name}`;
  document.title = `Fovea: try ${model.model.name}`;
  const heldOut = `of ${model.metrics.images.toLocaleString("en")} held-out images`;
  const right = percent(model.metrics.accuracy);
  const measured = model.task === "multi" ? `${right} ${heldOut} got exactly their labels` : `${right} right ${heldOut}`;
  element("model").textContent = `Version ${model.model.version}, ${labels} labels, ${measured}; ${model.precision} on ${model.provider}.`;
  element("model").dataset.threshold = model.abstain_threshold;
  element("model").dataset.unknown = model.unknown_threshold;
  thresholds = model.task === "multi" ? model.thresholds : null;
  element("above").hidden = !thresholds;
  element("predictions").className = thresholds ? "multi" : "";
  element("predictions").caption.textContent = thresholds ? "Each label’s own probability, best first; ✓ from its threshold on" : "Probabilities, best first";
  wants = {
    ...("unknown_threshold" in model ? { want_distance: true } : {}),
    ...("label_set_coverage" in model ? { want_label_set: true } : {}),
  };
  showCommand();
}

function showUnknown(error) {
  element("name").textContent = "Try the model";
  document.title = "Fovea: try the model";
  element("model").textContent = `Which model is served is not known: ${words(error)}`;
  delete element("model").dataset.threshold;
  thresholds = null;
  showCommand();
}

const named = () => (chosen ? { model: chosen } : {});
const query = () => new URLSearchParams({ top_k: element("count").value || "1", ...named() });

function askForToken() {
  element("asks-token").hidden = false;
  element("token").focus();
  showCommand();
}

async function classify(file) {
  image = file;
  asking.abort();
  asking = new AbortController();
  const signal = asking.signal;
  begin(file);
  const started = performance.now();
  try {
    const options = { method: "POST", body: file, signal };
    const asked = new URLSearchParams({ ...Object.fromEntries(query()), ...wants });
    const answer = await (await ask(`/v1/classify?${asked}`, options)).json();
    if (signal.aborted) return;
    showAnswer(answer, performance.now() - started);
    await showCrop(file, answer.model, signal);
  } catch (error) {
    if (!signal.aborted) showError(error);
  }
}

function begin(file) {
  element("error").hidden = true;
  element("answer").hidden = true;
  say(`Classifying ${file.name || "the image"} …`);
  picture("own", file);
  element("own-caption").textContent = `As it was sent: ${file.name || "pasted"}, ${bytes(file.size)}`;
  element("crop").hidden = true;
  element("crop-caption").textContent = "Asking for what the model saw …";
}

function showAnswer(answer, tookMs) {
  const guess = answer.selected ? names(answer.selected.labels) : said(answer.predictions[0]);
  const doubt = `Its best guess (${guess}) is below the threshold${threshold()} from which it is sure enough. Better let a person decide.`;
  element("answer-title").textContent = answer.abstained ? "The model abstains" : guess;
  element("abstained").hidden = !answer.abstained;
  element("abstained").textContent = doubt;
  element("unknown").hidden = !answer.unknown;
  element("predictions").tBodies[0].replaceChildren(...shownOf(answer).map(row));
  showFacts(answer, tookMs);
  element("answer").hidden = false;
  const strange = answer.unknown ? ` ${element("unknown").textContent}` : "";
  say((answer.abstained ? `The model abstains. ${doubt}` : `The model says ${guess}.`) + strange, true);
  element("answer").scrollIntoView({ block: "nearest" });
}

const said = (best) => (best ? `${best.label}, ${percent(best.probability)}` : "none that is probable enough");
const names = (labels) => labels.map((each) => each.label).join(", ") || "none of its labels";

/** Of a multi-label model all that are selected, and as many of the others as are asked for leave room. */
function shownOf({ predictions, selected }) {
  if (!selected) return predictions;
  const chosen = new Set(selected.labels.map((each) => each.index));
  const others = predictions.filter((each) => !chosen.has(each.index));
  const marked = selected.labels.map((each) => ({ ...each, isSelected: true }));
  return [...marked, ...others].sort((one, other) => other.probability - one.probability);
}

function row(prediction) {
  const line = document.createElement("tr");
  const label = document.createElement("th");
  label.scope = "row";
  const name = document.createElement("bdi");
  name.textContent = prediction.label;
  label.append(name);
  const bar = line.insertCell();
  bar.className = "bar";
  const [track, drawn] = [document.createElement("div"), document.createElement("div")];
  drawn.style.width = `${100 * prediction.probability}%`;
  track.setAttribute("aria-hidden", "true");
  track.append(drawn);
  bar.append(track);
  if (thresholds) markThreshold(line, track, prediction);
  line.insertCell().textContent = percent(prediction.probability);
  line.prepend(label);
  return line;
}

function markThreshold(line, track, { index, isSelected }) {
  const mark = document.createElement("i");
  mark.style.left = `${100 * thresholds[index]}%`;
  track.append(mark);
  line.className = isSelected ? "selected" : "";
  line.insertCell().textContent = `${isSelected ? "✓ from" : "below"} ${percent(thresholds[index])}`;
}

function brief(number) {
  return Number(Number(number).toPrecision(3)).toString();
}

function showFacts(answer, tookMs) {
  const { model, timing } = answer;
  const together = timing.batch_size === 1 ? "by itself" : `together with ${timing.batch_size - 1} others`;
  const set = answer.label_set;
  const facts = [
    ...(set ? [[`Labels it may have, right for ${percent(set.coverage)} of images`, set.labels.join(", ") || "none"]] : []),
    ...("distance" in answer ? [["Distance from the nearest class", `${brief(answer.distance)}; unknown above ${brief(element("model").dataset.unknown)}`]] : []),
    ["Model", `${model.name}, version ${model.version}, ${model.digest.slice(0, 12)}`],
    ["Decoded in", milliseconds(timing.decode_us)],
    ["Waited", milliseconds(timing.queue_us)],
    ["Computed in", `${milliseconds(timing.compute_us)}, ${together}`],
    ["There and back", `${tookMs.toFixed(0)} ms, as this browser saw it`],
  ];
  element("facts").replaceChildren(
    ...facts.flatMap(([term, text]) => [text_of("dt", term), text_of("dd", text)]),
  );
}

async function showCrop(file, { name, version }, signal) {
  try {
    const same = new URLSearchParams({ model_version: version, model: name });
    const crop = await (await ask(`/v1/crop?${same}`, { method: "POST", body: file, signal })).blob();
    if (signal.aborted) return;
    picture("crop", crop);
    await element("crop").decode();
    const side = element("crop").naturalWidth;
    element("crop-caption").textContent = `As the model saw it: ${side} by ${side} pixels`;
    element("crop").hidden = false;
  } catch (error) {
    if (!signal.aborted) element("crop-caption").textContent = `What the model saw cannot be shown: ${words(error)}`;
  }
}

function showError(error) {
  element("answer").hidden = true;
  element("error-text").textContent = words(error);
  const problem = error.problem;
  element("error-detail").textContent = problem ? `${problem.status} ${problem.title}` : "";
  element("error").hidden = false;
  say(`There is no answer: ${words(error)}`, true);
}

function say(text, isShownElsewhere = false) {
  element("status").textContent = text;
  element("status").className = isShownElsewhere ? "sr" : "";
}

function words(error) {
  if (!error.problem) {
    return "the server cannot be reached, or refused the image before all of it was sent.";
  }
  const { detail, title, status, retry_after_s: seconds } = error.problem;
  const text = sentence(detail || title || `status ${status}`);
  if (status === 429 || seconds) return `${text} Try again in ${Math.max(1, Math.ceil(seconds || 1))} s.`;
  if (status === 503) return `${text} Try again in a moment.`;
  return text;
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

function picture(id, blob) {
  URL.revokeObjectURL(shown[id]);
  shown[id] = URL.createObjectURL(blob);
  element(id).src = shown[id];
}

function text_of(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function percent(share) {
  if (share > 0 && share < 0.001) return "below 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

function threshold() {
  const known = Number(element("model").dataset.threshold);
  return known ? ` of ${percent(known)}` : "";
}

const milliseconds = (us) => `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`;

function bytes(size) {
  return size < 1_000_000 ? `${Math.ceil(size / 1000)} kB` : `${(size / 1_000_000).toFixed(1)} MB`;
}

function showCommand() {
  const header = element("asks-token").hidden ? "" : '-H "Authorization: Bearer $TOKEN" ';
  element("command").textContent = `curl ${header}--data-binary @cat.jpg '${location.origin}/v1/classify?${query()}'`;
}

function take(files) {
  if (files && files.length) classify(files[0]);
}

element("file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
element("own").addEventListener("error", () => {
  element("own-caption").textContent += " (this browser does not show its format)";
});
element("count").addEventListener("input", showCommand);
element("choice").addEventListener("focus", lookAgain);
window.addEventListener("focus", lookAgain);
element("choice").addEventListener("change", (event) => choose(event.target.value));
element("asks-token").addEventListener("submit", (event) => {
  event.preventDefault();
  describeModels();
});
document.addEventListener("paste", (event) => take(event.clipboardData.files));
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) {
  document.addEventListener(kind, () => element("drop").classList.remove("over"));
}
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
describeModels();
