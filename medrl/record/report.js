// The page reads without this: it only adds the filter and the values under the pointer. Text goes in as text, never as HTML.
"use strict";
(() => {
  const filter = document.getElementById("filter");
  if (filter) {
    const [kind, verdict, words] = ["f-kind", "f-verdict", "f-words"].map((id) => document.getElementById(id));
    const items = [...document.querySelectorAll(".item")];
    const lists = [...document.querySelectorAll(".group")];
    const texts = new Map(items.map((item) => [item, item.closest(".question").textContent.toLowerCase()]));
    const apply = () => {
      const wanted = words.value.trim().toLowerCase();
      let shown = 0;
      for (const item of items) {
        const { kind: itsKind, verdict: itsVerdict, outcome } = item.dataset;
        const fits =
          (!kind.value || kind.value === itsKind) &&
          (!verdict.value || verdict.value === itsVerdict || verdict.value === outcome) &&
          (!wanted || texts.get(item).includes(wanted));
        item.hidden = !fits;
        shown += fits;
      }
      for (const list of lists) list.hidden = !list.querySelector(".item:not([hidden])");
      document.getElementById("f-count").textContent = `${shown} of ${items.length} shown`;
    };
    for (const control of [kind, verdict, words]) control.addEventListener("input", apply);
    filter.hidden = false;
    apply();
  }

  const tip = document.getElementById("tip");
  const number = (text) => Number(text).toLocaleString("en", { maximumSignificantDigits: 4 });
  for (const svg of document.querySelectorAll("svg.chart[data-left]")) {
    const frame = Object.fromEntries(Object.entries(svg.dataset).map(([name, text]) => [name, Number(text)]));
    const curves = [...svg.querySelectorAll("[data-points]")].map((path) => ({
      label: path.dataset.label,
      points: path.dataset.points.split(" ").map((pair) => pair.split(":")),
    }));
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    cursor.setAttribute("class", "cursor");
    const leave = () => {
      tip.hidden = true;
      cursor.remove();
    };
    const move = (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const at = frame.low + ((x - frame.left) / (frame.right - frame.left)) * (frame.high - frame.low);
      const near = curves.map((curve) => ({
        label: curve.label,
        point: curve.points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best)),
      }));
      const step = near.map((entry) => Number(entry.point[0])).reduce((a, b) => (Math.abs(b - at) < Math.abs(a - at) ? b : a));
      const where = frame.left + ((step - frame.low) / (frame.high - frame.low)) * (frame.right - frame.left);
      for (const [name, value] of Object.entries({ x1: where, x2: where, y1: frame.top, y2: frame.bottom })) cursor.setAttribute(name, value);
      svg.append(cursor);
      const title = document.createElement("b");
      title.textContent = `step ${number(step)}`;
      const lines = near.map(({ label, point }) => {
        const line = document.createElement("span");
        line.append(label, " ");
        const value = document.createElement("b");
        value.textContent = number(point[1]);
        line.append(value);
        return line;
      });
      tip.replaceChildren(title, ...lines);
      tip.hidden = false;
      const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
      tip.style.transform = `translate(${Math.max(left, 8)}px, ${Math.max(event.clientY - tip.offsetHeight - 12, 8)}px)`;
    };
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerdown", move);
    svg.addEventListener("pointerleave", leave);
  }
})();
