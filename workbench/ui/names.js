// What gradio's own parts lack for a screen reader (axe-core says so), for the keyboard and for a reader of the page's language, put right
// wherever they appear.
(() => {
  const mend = () => {
    asked = false;
    // A table's sign for a column that cannot be written in has a name and no role that may have one.
    for (const sign of document.querySelectorAll("div.wrapper[aria-label]:not([role])")) sign.setAttribute("role", "img");
    // A notice is headed by its kind, in English, and not by the title it was given.
    const words = JSON.parse(document.documentElement.dataset.notices);
    for (const title of document.querySelectorAll(".toast-title")) {
      const kind = title.firstChild;
      if (kind?.nodeType === Node.TEXT_NODE && kind.data.trim() !== words.title) kind.data = `${words.title} `;
    }
    for (const close of document.querySelectorAll(".toast-close")) close.setAttribute("aria-label", words.close);
  };
  let asked = false;
  new MutationObserver(() => {
    if (!asked) requestAnimationFrame(mend);
    asked = true;
  }).observe(document, { childList: true, subtree: true });
  // A slider tells of its value when the pointer lets go of it, and a key has none.
  document.addEventListener("keyup", (event) => {
    const moves = /^(Arrow|Page|Home|End)/.test(event.key);
    if (moves && event.target.matches?.('input[type="range"]')) event.target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
  });
})();
