// The guided story: its keys, where the focus goes, and the sentence behind a word of the trade.
(() => {
  const root = document.documentElement;
  const here = (id) => document.getElementById(id);
  const press = (id) => here(id)?.disabled === false && here(id).click();

  // Shows or hides the stage, after what stands on it was drawn. A screen reader goes on at the step's title.
  window.promptWorkbenchStory = (open) => {
    const before = root.hasAttribute("data-story");
    root.toggleAttribute("data-story", open);
    const stage = here("story");
    for (const [name, value] of [["role", "dialog"], ["aria-modal", "true"], ["aria-labelledby", "story-title"]]) stage?.setAttribute(name, value);
    if (open) {
      stage.scrollTop = 0;
      requestAnimationFrame(() => requestAnimationFrame(() => here("story-title")?.focus({ preventScroll: true })));
    } else if (before) here("story-open")?.focus();
  };

  document.addEventListener("keydown", (event) => {
    if (!root.hasAttribute("data-story") || event.altKey || event.ctrlKey || event.metaKey || event.repeat) return;
    if (event.key === "Escape") return press("story-close");
    if (event.target.closest?.("input, textarea")) return;
    // A presenter's remote sends the page keys.
    if (event.key === "ArrowRight" || event.key === "PageDown") press("story-next");
    else if (event.key === "ArrowLeft" || event.key === "PageUp") press("story-back");
    else return;
    event.preventDefault();
  });

  // The glossary lies under the stage: its sentence comes up here instead.
  document.addEventListener("click", (event) => {
    const term = event.target.closest?.("#story a.pw-term");
    if (!term) return;
    event.preventDefault();
    const word = here("story-word");
    word.hidden = !word.hidden && word.textContent === term.title;
    word.textContent = term.title;
  });
})();
