// From a folder on a disk a browser may not fetch other pages, so search there lists its hits without excerpts.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// The viewers of a page share one script (wmlib/show/web); a page without a viewer does not load it. The model of a play is loaded by play.js, when asked.
document.addEventListener("DOMContentLoaded", () => {
  if (!document.querySelector(".wm-viewer")) return;
  const here = document.querySelector("script[src*='_static/book.js']").src;
  const names = ["three.js", "viewer.js", ...(document.querySelector(".wm-play") ? ["dream.js", "play.js"] : [])];
  for (const name of names) {
    const script = document.createElement("script");
    script.src = new URL(name, here).href;
    script.async = false; // in this order
    document.head.append(script);
  }
});
