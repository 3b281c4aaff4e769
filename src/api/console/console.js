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

  // What somebody has opened, typed or chosen stays, and so does the focus.
  const keep = () => {
    const kept = [];
    for (const element of region.querySelectorAll("[id]")) {
      if (element.tagName === "DETAILS") kept.push([element.id, "open", element.open]);
      else if (element.matches("input, select")) kept.push([element.id, "value", element.value]);
    }
    const active = document.activeElement;
    const key = active && region.contains(active) && (active.id || active.getAttribute("href"));
    return { kept, key, range: active && active.selectionStart };
  };
  const restore = ({ kept, key, range }) => {
    for (const [id, name, value] of kept) {
      const element = document.getElementById(id);
      if (element && region.contains(element)) element[name] = value;
    }
    if (!key) return;
    const same = [...region.querySelectorAll("[id], [href]")].find((it) => it.id === key || it.getAttribute("href") === key);
    if (!same) return;
    same.focus({ preventScroll: true });
    if (range != null && same.setSelectionRange) same.setSelectionRange(range, range);
  };
  const show = (html) => {
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
