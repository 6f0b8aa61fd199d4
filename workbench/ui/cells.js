// gradio tells of what is typed into a cell of a table once the cell is left. A pause in typing tells of the label words too: a cell that
// hears of a blur gives its text away and stays open, with the focus and the caret where they are. While an input method composes, what
// stands there is not yet what was meant, and the pause begins with its choice.
(() => {
  const PAUSE_MS = 400;
  let pause;
  const typed = (event) => {
    const cell = event.target;
    if (!cell.matches?.("#verbalizer textarea, #template-words textarea")) return;
    clearTimeout(pause);
    if (event.type === "compositionstart" || event.isComposing) return;
    pause = setTimeout(() => cell.dispatchEvent(new FocusEvent("blur")), PAUSE_MS);
  };
  for (const kind of ["compositionstart", "compositionend", "input"]) document.addEventListener(kind, typed);
})();
