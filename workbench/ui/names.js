// What gradio's own parts lack for a screen reader (axe-core says so), for the keyboard and for a reader of the page's language, put right
// wherever they appear.
(() => {
  // gradio's and plotly's English, each with the page's words for it; a sentence with {holes} is a pattern.
  const told = Object.entries(JSON.parse(document.documentElement.dataset.gradio)).filter(([english, own]) => english !== own);
  const exact = new Map(told);
  const patterns = told.filter(([english]) => english.includes("{")).map(([english, own]) => {
    const plain = english.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
    return [new RegExp(`^${plain.replace(/\{(\w+)\}/g, "(?<$1>.+)")}$`), own];
  });
  const own = (english) => {
    if (exact.has(english)) return exact.get(english);
    for (const [pattern, text] of patterns) {
      const { groups } = pattern.exec(english) ?? {};
      if (groups) return text.replace(/\{(\w+)\}/g, (_, name) => groups[name]);
    }
  };
  const TITLES = ["aria-label", "title", "data-title"];
  // What stands as text: how long something has been waited for, what a screen reader is told of it, a table's menu, plotly's notices.
  const TEXTS = ".progress-text, .sr-only[role=status], .cell-menu, [role=menu], .plotly-notifier";
  const heard = new WeakSet();
  const translate = () => {
    for (const name of TITLES)
      for (const part of document.querySelectorAll(`[${name}]`)) {
        const text = own(part.getAttribute(name));
        if (text !== undefined) part.setAttribute(name, text);
      }
    for (const place of document.querySelectorAll(TEXTS)) {
      const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const text = own(texts.currentNode.data.trim());
        if (text !== undefined) texts.currentNode.data = texts.currentNode.data.replace(texts.currentNode.data.trim(), () => text);
      }
      // Its sentence is exchanged within the same text, of which the observer of the whole page does not hear.
      if (!place.matches(".sr-only") || heard.has(place)) continue;
      heard.add(place);
      new MutationObserver(translate).observe(place, { characterData: true, childList: true, subtree: true });
    }
  };
  const mend = () => {
    asked = false;
    if (told.length) translate();
    // A table's sign for a column that cannot be written in has a name and no role that may have one.
    for (const sign of document.querySelectorAll("div.wrapper[aria-label]:not([role])")) sign.setAttribute("role", "img");
    // So has what stands where a chart will be.
    for (const empty of document.querySelectorAll(".empty[aria-label]:not([role])")) empty.setAttribute("role", "img");
    // Code that is only read can be scrolled and not be reached.
    for (const code of document.querySelectorAll('.cm-scroller:not([tabindex="0"])')) {
      code.tabIndex = 0;
      code.setAttribute("role", "group");
      code.setAttribute("aria-label", code.closest(".block")?.querySelector("[data-testid=block-label]")?.textContent.trim() || "code");
    }
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
