(() => {
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

  // The legend hides and shows a codec in all plots.
  for (const button of document.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      for (const line of document.getElementsByClassName(button.dataset.series)) {
        line.style.display = shown ? "" : "none";
      }
    });
  }

  // What is folded up is printed too.
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });

  // A click on a heading sorts by it, a second one the other way.
  const read = (cell) => {
    const text = cell.dataset.value;
    return text === "" ? NaN : isNaN(text) ? text : Number(text);
  };
  const compare = (a, b) => {
    if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b));
    if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b);
    return a - b;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = make("button", { type: "button", textContent: heading.textContent });
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const lines = [...table.tBodies[0].rows];
        lines.sort((a, b) => sign * compare(read(a.cells[column]), read(b.cells[column])));
        table.tBodies[0].append(...lines);
      });
    });
  }

  // Two versions of a picture, one over the other, parted by a line that moves; and a lens.
  const ENLARGED = 4;
  const LENS = 44;
  for (const article of document.querySelectorAll(".compare")) {
    const stage = article.querySelector(".stage");
    const lenses = article.querySelector(".lenses");
    const versions = [...stage.querySelectorAll("figure")];
    const name = article.querySelector("h3").textContent;
    const title = (figure) => figure.querySelector("b").textContent;
    const details = (figure) => figure.querySelector("span").textContent;
    const sides = [
      // The original comes first, ours last; between them are others.
      { place: "left", chosen: versions.length > 2 ? 1 : 0 },
      { place: "right", chosen: versions.length - 1 },
    ];

    const slider = make("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50 });
    slider.setAttribute("aria-label", `${name}: where the left version ends`);
    const part = (percent) => {
      stage.style.setProperty("--at", `${clamp(percent, 0, 100)}%`);
      slider.value = percent;
    };
    slider.addEventListener("input", () => part(Number(slider.value)));

    const choose = () => {
      versions.forEach((figure, index) => {
        figure.classList.toggle("left", index === sides[0].chosen);
        figure.classList.toggle("right", index === sides[1].chosen);
      });
      for (const side of sides) side.text.textContent = details(versions[side.chosen]);
    };
    for (const side of sides) {
      side.select = make("select", {}, ...versions.map((v, i) => make("option", { value: i, textContent: title(v) })));
      side.select.setAttribute("aria-label", `${name}: version on the ${side.place}`);
      side.select.value = side.chosen;
      side.select.addEventListener("change", () => {
        side.chosen = Number(side.select.value);
        choose();
      });
      side.text = make("p");
    }
    const [left, right] = sides.map((side) => make("div", { className: side.place }, side.select, side.text));
    const controls = make("div", { className: "controls" }, slider, left, right);
    const viewer = make("div", { className: "viewer" });
    viewer.style.setProperty("--w", article.dataset.width);
    stage.replaceWith(viewer);
    viewer.append(stage, controls);
    choose();
    part(50);

    const views = versions.map((figure) => {
      const canvas = make("canvas", { width: LENS * ENLARGED, height: LENS * ENLARGED });
      lenses.append(make("figure", {}, canvas, make("figcaption", { textContent: title(figure) })));
      return { canvas, image: figure.querySelector("img") };
    });
    const spot = make("i", { className: "spot" });
    stage.append(spot);
    const [width, height] = [Number(article.dataset.width), Number(article.dataset.height)];
    const span = Math.min(LENS, width, height);
    let centre = [width / 2, height / 2];
    const look = (x, y) => {
      centre = [clamp(x, span / 2, width - span / 2), clamp(y, span / 2, height - span / 2)];
      const corner = centre.map((value) => Math.round(value - span / 2));
      spot.style.left = `${(100 * corner[0]) / width}%`;
      spot.style.top = `${(100 * corner[1]) / height}%`;
      spot.style.width = `${(100 * span) / width}%`;
      spot.style.height = `${(100 * span) / height}%`;
      for (const { canvas, image } of views) {
        const context = canvas.getContext("2d");
        context.imageSmoothingEnabled = false;
        context.drawImage(image, ...corner, span, span, 0, 0, canvas.width, canvas.height);
      }
    };
    const move = (event) => {
      const box = stage.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      look(x * width, y * height);
      if (event.buttons & 1) part(100 * x);
    };
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      move(event);
    });
    stage.addEventListener("pointermove", move);
    stage.tabIndex = 0;
    stage.setAttribute("role", "group");
    stage.setAttribute("aria-label", `${name}: arrow keys move the lens`);
    const STEPS = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] };
    stage.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      look(centre[0] + step[0], centre[1] + step[1]);
    });
    addEventListener("load", () => look(...centre));
  }
  document.documentElement.dataset.ready = "yes";
})();
