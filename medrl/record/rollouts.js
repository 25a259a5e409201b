// The page reads without this, all conversations below each other: it shows one at a time, filters, and follows the keys.
// Text goes in as text, never as HTML.
"use strict";
(() => {
  const get = (id) => document.getElementById(id);
  const all = (selector, under = document) => [...under.querySelectorAll(selector)];
  const items = all("article.attempt");
  if (!items.length) return;
  const groups = all("section.group");
  // The addresses are ours to follow: with ids the browser would scroll to them itself
  const named = new Map(items.map((item) => [item.id, item]));
  const links = new Map([...named].map(([name, item]) => [item, all(`[data-id="${name}"]`)]));
  for (const [name, item] of named) {
    item.dataset.name = name;
    item.removeAttribute("id");
  }
  const at = (hash) => named.get(decodeURIComponent(hash.slice(1)));
  const texts = new Map();
  for (const group of groups) {
    const asked = group.querySelector(".asked").textContent;
    for (const item of all(".attempt", group)) texts.set(item, `${asked} ${item.textContent}`.toLowerCase());
  }
  const controls = ["step", "verdict", "end", "tool", "words"].map((name) => get(`f-${name}`)).filter(Boolean);
  const value = (name) => get(`f-${name}`)?.value ?? "";
  let shown = items;
  let current = null;

  const show = (item) => {
    current = item;
    const group = item?.closest(".group");
    for (const other of groups) other.classList.toggle("here", other === group);
    const side = document.body.classList.contains("side");
    for (const other of items) {
      other.classList.toggle("current", other === item);
      other.classList.toggle("here", other === item || (side && shown.includes(other)));
      for (const link of links.get(other)) {
        const anchor = link.tagName === "TR" ? link : link.querySelector("a");
        if (other === item) anchor.setAttribute("aria-current", "true");
        else anchor.removeAttribute("aria-current");
      }
    }
    for (const mark of all(".mark[data-of]", group ?? document)) mark.classList.toggle("here", mark.dataset.of === item?.dataset.name);
    for (const section of all(".list section")) section.classList.toggle("here", section.dataset.group === group?.dataset.group);
    get("nothing").hidden = Boolean(item);
    get("place").textContent = item ? `${shown.indexOf(item) + 1} of ${shown.length}` : "none";
    for (const id of ["previous", "next"]) get(id).disabled = shown.length < 2;
    if (!item) return;
    links.get(item)[0]?.scrollIntoView({ block: "nearest" });
    if (side) item.parentElement.scrollLeft = item.offsetLeft - item.parentElement.offsetLeft - 8;
  };

  const goTo = (item, push = false) => {
    if (!item) return;
    const moved = current?.closest(".group") !== item.closest(".group");
    history[push ? "pushState" : "replaceState"](null, "", `#${item.dataset.name}`);
    show(item);
    if (moved) scrollTo(0, matchMedia("(max-width: 820px)").matches ? item.closest(".group").offsetTop : 0);
  };

  const step = (by) => goTo(shown[(shown.indexOf(current) + by + shown.length) % shown.length]);
  const stepGroup = (by) => {
    const inList = groups.filter((group) => shown.some((item) => group.contains(item)));
    const next = inList[(inList.indexOf(current?.closest(".group")) + by + inList.length) % inList.length];
    goTo(shown.find((item) => next?.contains(item)));
  };

  const apply = () => {
    const wanted = value("words").trim().toLowerCase();
    shown = items.filter(
      (item) =>
        (!value("step") || value("step") === item.dataset.step) &&
        (!value("verdict") || value("verdict") === item.dataset.verdict) &&
        (!value("end") || value("end") === item.dataset.end) &&
        (!value("tool") || item.dataset.tool.split(" ").includes(value("tool"))) &&
        (!wanted || texts.get(item).includes(wanted)),
    );
    for (const item of items) for (const link of links.get(item)) link.classList.toggle("out", !shown.includes(item));
    get("f-count").textContent = `${shown.length} of ${items.length} shown`;
    get("clear").hidden = controls.every((control) => !control.value);
    if (shown.includes(current)) show(current);
    else if (shown.length) goTo(shown[0]);
    else show(null);
  };
  const clear = () => {
    for (const control of controls) control.value = "";
    apply();
  };
  const sideBySide = () => {
    const on = document.body.classList.toggle("side");
    get("side").setAttribute("aria-pressed", String(on));
    show(current);
  };

  const lens = get("lens");
  const enlarge = (button) => {
    const picture = button.cloneNode(true);
    const box = document.createElement("div");
    box.className = "picture";
    box.append(...picture.childNodes);
    const image = box.querySelector("img");
    const ratio = image.width / image.height || 1;
    const { naturalWidth: wide, naturalHeight: high } = button.querySelector("img");
    const room = Math.min(innerWidth * 0.92, innerHeight * 0.82 * (wide / high || ratio));
    box.style.setProperty("--wide", `${Math.round(room)}px`);
    lens.querySelector(".frame").replaceChildren(box);
    get("larger").setAttribute("aria-pressed", "false");
    get("larger").onclick = () => {
      const large = get("larger").getAttribute("aria-pressed") !== "true";
      get("larger").setAttribute("aria-pressed", String(large));
      box.style.setProperty("--wide", `${Math.round(room * (large ? 2.5 : 1))}px`);
    };
    lens.showModal();
  };

  const light = (name) => {
    for (const element of all("[data-turn]")) element.classList.toggle("lit", element.dataset.turn === name);
  };
  document.addEventListener("pointerover", (event) => light(event.target.closest?.("[data-turn]")?.dataset.turn));
  document.addEventListener("focusin", (event) => light(event.target.closest?.("[data-turn]")?.dataset.turn));

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    const row = event.target.closest("tr[data-id]");
    const mark = event.target.closest(".mark[data-turn]");
    const zoom = event.target.closest("button.zoom");
    const item = link ? at(link.hash) : row ? named.get(row.dataset.id) : null;
    if (item && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      if (!shown.includes(item)) clear();
      goTo(item, true);
    } else if (mark && zoom && !lens.open) {
      get(mark.dataset.turn)?.scrollIntoView({ block: "center", behavior: "smooth" });
    } else if (zoom) enlarge(zoom);
    else if (event.target === lens) lens.close();
  });

  const keys = {
    j: () => step(1), ArrowRight: () => step(1), k: () => step(-1), ArrowLeft: () => step(-1),
    J: () => stepGroup(1), K: () => stepGroup(-1), g: sideBySide, x: clear, "?": () => get("help").showModal(),
    "/": () => get("f-words").focus(), o: () => enlarge(all(".zoom", current?.closest(".group"))[0]),
  };
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest?.("input, select, textarea");
    if (field && event.key === "Escape") field.blur();
    if (field || event.ctrlKey || event.metaKey || event.altKey || all("dialog[open]").length) return;
    if (event.key.startsWith("Arrow") && event.target.closest?.(".scroll, pre")) return;
    const act = keys[event.key];
    if (!act || ("jkJKo".includes(event.key) && !current)) return;
    event.preventDefault();
    act();
  });

  get("previous").onclick = () => step(-1);
  get("next").onclick = () => step(1);
  get("side").onclick = sideBySide;
  get("keys").onclick = keys["?"];
  get("clear").onclick = clear;
  for (const control of controls) control.addEventListener("input", apply);
  get("filter").addEventListener("submit", (event) => event.preventDefault());
  const follow = () => {
    const item = at(location.hash);
    if (!item) return;
    if (!shown.includes(item)) clear();
    show(item);
  };
  addEventListener("hashchange", follow);
  addEventListener("popstate", follow);
  // Without the room for a list beside the conversation it is closed at first
  get("list").open = !matchMedia("(max-width: 820px)").matches;
  const head = document.querySelector(".top");
  const measure = () => document.documentElement.style.setProperty("--top", `${head.offsetHeight}px`); // it may wrap
  new ResizeObserver(measure).observe(head);
  document.body.classList.add("live");
  get("filter").hidden = false;
  document.querySelector(".moves").hidden = false;
  follow();
  apply();
})();
