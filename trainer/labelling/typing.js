"use strict";
// A class by its name, typed: of many classes, or one that is new (a combobox, as WAI-ARIA's practices have it).

const MOST_FOUND = 8;

// The same for names that look alike, as the program has it.
function folded(name) {
  return name.normalize("NFKC").toLocaleLowerCase().normalize("NFKC").replace(/[\s_-]+/g, " ").trim();
}

// The classes that are meant by `typed`, those that begin with it first; and the name of a new one, or null.
function meant(typed, labels) {
  const wanted = folded(typed);
  const names = labels.map((label) => [label, folded(label)]).filter(([, name]) => name.includes(wanted));
  const begins = ([, name]) => (name === wanted ? 0 : name.startsWith(wanted) ? 1 : 2);
  const found = names.sort((one, other) => begins(one) - begins(other)).map(([label]) => label);
  const isNew = wanted && !names.some(([, name]) => name === wanted);
  return [found.slice(0, MOST_FOUND), isNew ? typed.normalize("NFC").trim() : null];
}

function typeAhead(input, list, labels, choose, leave) {
  let options = []; // [label, shown as]
  let at = 0;

  function show() {
    list.replaceChildren(...options.map(([, shown], index) => {
      const option = document.createElement("li");
      option.role = "option";
      option.id = `option-${index}`;
      option.ariaSelected = String(index === at);
      option.textContent = shown;
      option.dir = "auto";
      option.addEventListener("mousedown", (event) => {
        event.preventDefault(); // the focus stays
        take(index);
      });
      return option;
    }));
    list.hidden = !options.length;
    input.ariaExpanded = String(!list.hidden);
    if (list.hidden) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", `option-${at}`);
  }

  function look() {
    const [found, fresh] = input.value.trim() ? meant(input.value, labels()) : [[], null];
    options = found.map((label) => [label, label]);
    if (fresh) options.push([fresh, `new class: ${fresh}`]);
    at = 0;
    show();
  }

  function clear() {
    input.value = "";
    look();
  }

  function take(index) {
    if (!options[index]) return;
    const [label] = options[index];
    clear();
    choose(label);
  }

  input.addEventListener("input", look);
  input.addEventListener("blur", clear);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && options.length) {
      event.preventDefault();
      at = (at + step + options.length) % options.length;
      show();
    } else if (event.key === "Enter") {
      event.preventDefault();
      take(at);
    } else if (event.key === "Escape") {
      clear();
      leave();
    }
  });
}
