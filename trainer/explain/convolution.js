"use strict";
(() => {
  const PLAY_MS = 900;
  const CLOSE = 1e-4;

  const signed = (value, decimals) => {
    const text = Math.abs(value).toFixed(decimals);
    return value < 0 && Number(text) !== 0 ? `\u2212${text}` : text;
  };

  /** Shows a number in its cell, with a colour for its sign and size. */
  const paint = (cell, value, { decimals, scale }) => {
    cell.textContent = signed(value, decimals);
    cell.classList.toggle("negative", value < 0);
    cell.style.setProperty("--amount", Math.min(1, Math.abs(value) / scale).toFixed(2));
  };

  const clear = cell => {
    cell.textContent = "";
    cell.style.setProperty("--amount", "0");
    delete cell.dataset.value;
  };

  /** Each number under the kernel times its weight. */
  const multiply = (channel, top, left) =>
    channel.weights.map((weights, y) => weights.map((weight, x) => channel.values[top + y][left + x] * weight));

  const add = numbers => numbers.flat().reduce((sum, number) => sum + number, 0);

  /** The kernel at one position: the products of each channel, their sums, and all of it added up. */
  const convolve = (data, row, column) => {
    const products = data.channels.map(c => multiply(c, row * data.stride, column * data.stride));
    const parts = products.map(add);
    return { products, parts, total: add([...parts, data.rest[row][column], data.bias]) };
  };

  const stepThrough = figure => {
    const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const columns = data.expected[0].length;
    const last = data.expected.length * columns - 1;
    const find = selector => figure.querySelector(selector);
    const findAll = selector => [...figure.querySelectorAll(selector)];
    const slider = find("input[type=range]");
    const play = find("[data-play]");
    const made = findAll("[data-made] td");
    const products = findAll("[data-products]").map(table => [...table.querySelectorAll("td")]);
    const parts = findAll("[data-part]");
    let position = 0;
    let timer = null;

    const fillMap = () => made.forEach((cell, place) => {
      if (place > position) return clear(cell);
      const { total } = convolve(data, Math.floor(place / columns), place % columns);
      paint(cell, total, data.sums);
      cell.dataset.value = total;
    });

    const showWork = (row, column) => {
      const found = convolve(data, row, column);
      products.forEach((cells, channel) => {
        const flat = found.products[channel].flat();
        cells.forEach((cell, place) => paint(cell, flat[place], data.products));
      });
      parts.forEach((part, channel) => { part.textContent = signed(found.parts[channel], data.sums.decimals); });
      const rest = find("[data-rest]");
      if (rest) rest.textContent = signed(data.rest[row][column], data.sums.decimals);
      findAll("[data-total]").forEach(e => { e.textContent = signed(found.total, data.sums.decimals); });
      return found.total;
    };

    const compare = (total, expected) => {
      const same = Math.abs(total - expected) <= CLOSE * Math.max(1, Math.abs(expected));
      find("[data-agrees]").textContent = same
        ? `torch gives ${signed(expected, 5)}: the same`
        : `torch gives ${signed(expected, 5)}, by hand it is ${signed(total, 5)}`;
    };

    const moveWindows = (row, column) => {
      const place = (element, y, x) => {
        element.style.setProperty("--y", y);
        element.style.setProperty("--x", x);
      };
      findAll("[data-window]").forEach(w => place(w, row * data.stride, column * data.stride));
      place(find("[data-window-made]"), row, column);
    };

    const show = (wanted, heard = true) => {
      position = Math.min(last, Math.max(0, wanted));
      const row = Math.floor(position / columns);
      const column = position % columns;
      const words = `row ${row + 1} of ${data.expected.length}, column ${column + 1} of ${columns}`;
      fillMap();
      const total = showWork(row, column);
      compare(total, data.expected[row][column]);
      moveWindows(row, column);
      slider.value = position;
      slider.setAttribute("aria-valuetext", words);
      find(".place").textContent = words;
      if (heard && !timer) find("[data-said]").textContent = `At ${words}, the sum is ${signed(total, data.sums.decimals)}`;
    };

    const pause = () => {
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
      play.setAttribute("aria-pressed", "false");
    };

    const start = () => {
      if (position === last) show(0);
      play.textContent = "Pause";
      play.setAttribute("aria-pressed", "true");
      timer = setInterval(() => {
        show(position + 1);
        if (position === last) pause();
      }, PLAY_MS);
    };

    const keys = {
      ArrowLeft: () => position - 1,
      ArrowRight: () => position + 1,
      ArrowUp: () => position - columns,
      ArrowDown: () => position + columns,
      Home: () => 0,
      End: () => last,
    };

    const go = wanted => {
      pause();
      show(wanted);
    };

    slider.addEventListener("input", () => go(Number(slider.value)));
    findAll("[data-go]").forEach(button =>
      button.addEventListener("click", () => go(position + Number(button.dataset.go))));
    play.addEventListener("click", () => (timer ? pause() : start()));
    find(".stepper").addEventListener("keydown", event => {
      const wanted = keys[event.key]?.();
      if (wanted === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      if (wanted >= 0 && wanted <= last) go(wanted);
    });
    made.forEach((cell, place) => cell.addEventListener("click", () => go(place)));
    find(".stepper").hidden = false;
    show(0, false);
  };

  document.querySelectorAll("[data-convolution]").forEach(stepThrough);
})();
