"use strict";
// What is chosen becomes rows of a CSV file, as the program writes them beside this page.

function reviewed(bar) {
  const suspects = [...document.querySelectorAll(".suspect")];
  const labels = new Set([...document.querySelectorAll("#labels option")].map((option) => option.value));
  const said = bar.querySelector("output");
  const button = bar.querySelector("button");
  let saved = true;

  function choiceOf(suspect) {
    const chosen = suspect.querySelector("[type=radio]:checked");
    return chosen && chosen.value;
  }

  // An array of label and decision; null where nothing is chosen.
  function decide(suspect) {
    const { label, suggested } = suspect.dataset;
    const { keep, relabel, leaveOut } = bar.dataset;
    switch (choiceOf(suspect)) {
      case "keep": return [label, keep];
      case "suggested": return [suggested, relabel];
      case "other": return [suspect.querySelector("[type=text]").value.trim(), relabel];
      case "leave-out": return [label, leaveOut];
      default: return null;
    }
  }

  function check(suspect) {
    const text = suspect.querySelector("[type=text]");
    const wrong = choiceOf(suspect) === "other" && !labels.has(text.value.trim());
    text.setCustomValidity(wrong ? "This should be one of the labels of these images." : "");
    return !wrong;
  }

  function tell() {
    const decided = suspects.filter(choiceOf).length;
    said.textContent = `${decided.toLocaleString("en")} of ${suspects.length.toLocaleString("en")} decided`;
    button.disabled = !decided;
  }

  function cell(text) {
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function download() {
    const wrong = suspects.find((suspect) => !check(suspect));
    if (wrong) {
      wrong.querySelector("[type=text]").reportValidity();
      return;
    }
    const rows = suspects.filter(choiceOf).map((suspect) => {
      const { path, label, probability, rank } = suspect.dataset;
      return [path, ...decide(suspect), label, probability, rank].map(cell).join(",");
    });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([[bar.dataset.columns, ...rows, ""].join("\n")], { type: "text/csv" }));
    link.download = bar.dataset.file;
    link.click();
    URL.revokeObjectURL(link.href);
    saved = true;
  }

  function changed(suspect) {
    saved = false;
    check(suspect);
    tell();
  }

  function goOn(suspect) {
    const next = suspects[suspects.indexOf(suspect) + 1];
    const target = next ? next.querySelector(":checked") || next.querySelector("[type=radio]") : button;
    target.focus();
  }

  function choose(suspect, place) {
    const radio = suspect.querySelectorAll("[type=radio]")[place];
    radio.checked = true;
    changed(suspect);
    if (radio.value === "other") suspect.querySelector("[type=text]").focus();
    else goOn(suspect);
  }

  suspects.forEach((suspect) => {
    const text = suspect.querySelector("[type=text]");
    suspect.addEventListener("change", () => changed(suspect));
    text.addEventListener("input", () => {
      suspect.querySelector("[value=other]").checked = true;
      changed(suspect);
    });
    suspect.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.target === text) {
        if (event.key === "Enter" && check(suspect)) goOn(suspect);
      } else if (/^[1-4]$/.test(event.key)) {
        event.preventDefault();
        choose(suspect, event.key - 1);
      }
    });
  });
  button.addEventListener("click", download);
  addEventListener("beforeunload", (event) => {
    if (!saved) event.preventDefault();
  });
  document.querySelector(".unscripted").remove();
  tell(); // a page that is loaded again may have its choices still
}

document.querySelectorAll(".download").forEach(reviewed);
