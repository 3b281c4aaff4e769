// Keeps the live region of a page as the server renders it. Nothing is rendered here, and every page works without this.
"use strict";
(() => {
  const region = document.getElementById("live");
  const notice = document.getElementById("notice");
  const path = region && region.dataset.live;
  if (!path || !window.EventSource) return;
  const { lost, ended } = document.body.dataset;
  let source;
  let wait = 1000;

  const tell = (text) => {
    notice.textContent = text || "";
    notice.hidden = !text;
  };

  // Where the focus is, said so that it is found in the next rendering: the nearest element with an id, and which of its links
  // to the same address it is, or which of everything else that can have the focus.
  const place = (active) => {
    const home = active.closest("[id]");
    const href = active.getAttribute("href");
    return { id: home.id, href, index: among(home, href).indexOf(active), range: active.selectionStart };
  };
  const among = (home, href) => {
    const all = [home, ...home.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")];
    return all.filter((it) => it.getAttribute("href") === href);
  };

  // What somebody has opened, typed or chosen stays, and so does the focus.
  const keep = () => {
    const kept = [];
    for (const element of region.querySelectorAll("[id]")) {
      if (element.tagName === "DETAILS") kept.push([element.id, "open", element.open]);
      else if (element.matches("[type=checkbox], [type=radio]")) kept.push([element.id, "checked", element.checked]);
      else if (element.matches("input, select, textarea")) kept.push([element.id, "value", element.value]);
    }
    const active = document.activeElement;
    return { kept, focus: active && active !== region && region.contains(active) && place(active) };
  };
  const restore = ({ kept, focus }) => {
    for (const [id, name, value] of kept) {
      const element = document.getElementById(id);
      if (element && region.contains(element)) element[name] = value;
    }
    if (!focus) return;
    const home = document.getElementById(focus.id);
    // What is not offered any more leaves whoever was there at the beginning of the page's content, not of the page.
    const same = (home && among(home, focus.href)[focus.index]) || document.getElementById("content");
    same.focus({ preventScroll: true });
    if (focus.range != null && same.setSelectionRange) same.setSelectionRange(focus.range, focus.range);
  };
  // A rendering that comes while something is pressed would take it away, and its click with it: the last one waits.
  let pressed = false;
  let waits;
  const released = () => {
    pressed = false;
    // Behind the click.
    setTimeout(() => { if (waits !== undefined) show(waits); });
  };
  addEventListener("pointerdown", () => { pressed = true; }, true);
  for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, released, true);
  addEventListener("blur", released);

  let shown;
  const show = (html) => {
    waits = pressed ? html : undefined;
    if (pressed || html === shown) return;
    shown = html;
    const before = keep();
    const wide = [...region.querySelectorAll(".wide")].map((element) => element.scrollLeft);
    region.innerHTML = html;
    [...region.querySelectorAll(".wide")].forEach((element, at) => { element.scrollLeft = wide[at] || 0; });
    restore(before);
  };

  const connect = () => {
    source = new EventSource(path);
    source.onopen = () => { wait = 1000; tell(""); };
    source.addEventListener("region", (event) => { tell(""); show(event.data); });
    source.addEventListener("end", () => { source.close(); tell(""); });
    source.addEventListener("signed-out", () => { source.close(); tell(ended); });
    source.onerror = () => {
      tell(lost);
      // While it connects again by itself it sends Last-Event-ID; when it was refused it would stay closed.
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, 30000);
    };
  };
  connect();
  // A page that is left gives its stream back at once; browsers allow few to one host.
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
})();
